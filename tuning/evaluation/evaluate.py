"""The same measurements before and after a training, and what they say together."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from presets.tuning_job import TuningJob, TuningProgress
from tuning.data.rows import Data
from tuning.errors import TuningError
from tuning.evaluation import gate, regression
from tuning.evaluation.answers import Answer, answers_to, exact_match, questions_of, rouge_l
from tuning.evaluation.held_out import loss_over
from tuning.evaluation.report import write_report
from tuning.progress import Say
from tuning.training.trained import Trained

_SECONDS_BETWEEN_WORDS = 2.0
_CACHE = "before.json"


@dataclass(frozen=True, kw_only=True)
class Scores:
    """One model's, by name; what was not measured is left out."""

    values: Mapping[str, float]
    answers: tuple[Answer, ...]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What has come of a training."""

    metrics: Mapping[str, float]
    """NAME_before and NAME_after of each score, held_out_loss_improvement and regression_loss_increase."""
    gate_passed: bool
    gate_failures: tuple[str, ...]
    sentence: str
    """For people."""
    report: Path
    """Directory with report.json, report.md and loss.png."""


def before_training(
    job: TuningJob, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, data: Data, key: str, say: Say
) -> Scores:
    """The model's own scores; those of an earlier run with the same `key` (key_of) and rows are not measured again."""
    cache = Path(job.directory) / _CACHE
    rows = json.dumps([dict(row) for row in data.held_out], sort_keys=True)
    settings = job.evaluation.model_dump_json(exclude={"gate"})
    key = hashlib.sha256("\n".join((key, rows, settings)).encode()).hexdigest()
    known = _cached(cache, key)
    if known is not None and job.resume:
        return known
    model.eval()
    scores = _measure(job, model, tokenizer, data, say, "before the training")
    stored = {"key": key, "values": dict(scores.values), "answers": [asdict(each) for each in scores.answers]}
    cache.write_text(json.dumps(stored), encoding="utf-8")
    return scores


def evaluate(job: TuningJob, trained: Trained, before: Scores, data: Data, weights_digest: str, say: Say) -> Evaluation:
    """The adapter's scores beside those of the model, the gate, and the report in the job's directory."""
    after = _measure(job, trained.model, trained.tokenizer, data, say, "with the adapter")
    _must_be_numbers(after.values)
    metrics = _metrics(before.values, after.values)
    missed = gate.failures(job.evaluation.gate, metrics)
    sentence = _sentence(metrics, missed)
    directory = write_report(
        job,
        data,
        trained.training,
        metrics=metrics,
        gate_failures=missed,
        weights_digest=weights_digest,
        samples=list(zip(before.answers, after.answers, strict=True)),
    )
    return Evaluation(
        metrics=metrics, gate_passed=not missed, gate_failures=missed, sentence=sentence, report=directory
    )


def _measure(
    job: TuningJob,
    model: Any,  # noqa: ANN401 - a model with or without an adapter
    tokenizer: PreTrainedTokenizerBase,
    data: Data,
    say: Say,
    when: str,
) -> Scores:
    settings = job.evaluation
    held_out = data.held_out[: settings.most_rows]
    general = regression.rows(bool(tokenizer.chat_template))
    values: dict[str, float] = {}
    answers: list[Answer] = []
    if held_out and {"loss", "perplexity"} & set(settings.metrics):
        loss = loss_over(held_out, model, tokenizer, job.max_length, _telling(say, f"held-out loss {when}", held_out))
        if loss.tokens:
            values |= {"held_out_loss": loss.mean, "perplexity": loss.perplexity}
    if {"exact_match", "rouge_l"} & set(settings.metrics):
        questions = questions_of(held_out, tokenizer)
        answers = answers_to(questions, model, tokenizer, _telling(say, f"answers {when}", questions))
        if answers:
            values |= {"exact_match": exact_match(answers), "rouge_l": rouge_l(answers)}
    over = loss_over(general, model, tokenizer, job.max_length, _telling(say, f"general questions {when}", general))
    if over.tokens:
        values["regression_loss"] = over.mean
    return Scores(values={name: round(value, 5) for name, value in values.items()}, answers=tuple(answers))


def _telling(say: Say, what: str, rows: Any) -> Callable[[int], None]:  # noqa: ANN401 - anything with a length
    told = time.monotonic()

    def tell(done: int) -> None:
        nonlocal told
        if time.monotonic() - told > _SECONDS_BETWEEN_WORDS:
            told = time.monotonic()
            say(TuningProgress(phase="evaluation", message=f"{what}: {done} of {len(rows)}"))

    return tell


def _metrics(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    metrics = {f"{name}_before": value for name, value in before.items()}
    metrics |= {f"{name}_after": value for name, value in after.items()}
    for name, change, sign in (
        ("held_out_loss", "held_out_loss_improvement", -1),
        ("regression_loss", "regression_loss_increase", 1),
    ):
        if before.get(name) and name in after:
            metrics[change] = round(sign * (after[name] - before[name]) / before[name], 5)
    return metrics


def _must_be_numbers(after: Mapping[str, float]) -> None:
    for name, value in after.items():
        if not math.isfinite(value):
            raise TuningError(
                "LossNotFinite",
                f"{name} with the adapter is {value}: the last steps have broken it; write a lower "
                "TrainingArguments.learning_rate",
            )


def _sentence(metrics: Mapping[str, float], missed: tuple[str, ...]) -> str:
    parts = [
        f"{words} {metrics[f'{name}_before']:.3g} → {metrics[f'{name}_after']:.3g}"
        for name, words in (
            ("held_out_loss", "held-out loss"),
            ("exact_match", "word for word"),
            ("regression_loss", "loss over general questions"),
        )
        if f"{name}_before" in metrics and f"{name}_after" in metrics
    ]
    made = f"the adapter is made: {', '.join(parts)}" if parts else "the adapter is made"
    return f"{made}; the gate is missed: {'; '.join(missed)}" if missed else made


def _cached(cache: Path, key: str) -> Scores | None:
    try:
        stored = json.loads(cache.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if stored.get("key") != key:
        return None
    return Scores(values=stored["values"], answers=tuple(Answer(**each) for each in stored["answers"]))
