"""One job from its first byte of data to its published adapter."""

from __future__ import annotations

import gc
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from transformers import PreTrainedTokenizerBase

from presets.tuning_job import TuningJob, TuningProgress
from presets.weights_source import parse_weights_source
from serving.weights import Progress, ensure
from tuning.data.load import load
from tuning.data.rows import Data
from tuning.errors import TuningError
from tuning.evaluation.evaluate import Scores, before_training, evaluate
from tuning.progress import Say
from tuning.publishing.check import check_output, check_tag
from tuning.publishing.publish import publish
from tuning.training.devices import train_on_devices
from tuning.training.failures import explained
from tuning.training.model import load_model, load_tokenizer
from tuning.training.train import train
from tuning.training.trained import Trained, key_of


def run(job: TuningJob, say: Say) -> TuningProgress:
    """The result, which is also the last thing said. Raises TuningError and WeightsError.

    An adapter that has missed its gate is a result like any other.
    """
    directory = Path(job.directory)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TuningError(
            "DirectoryNotWritable", f"{directory} cannot be made ({error.strerror}): change its owner, mode or path"
        ) from error
    try:
        with FileLock(directory / ".lock", timeout=0):
            return _run(job, say)
    except Timeout as error:
        raise TuningError(
            "TuningBusy", f"another process works in {directory}: wait for it, or end it with ray job stop"
        ) from error
    except PermissionError as error:
        raise TuningError(
            "DirectoryNotWritable", f"{error.filename or directory} cannot be written: change its owner or its mode"
        ) from error


def _run(job: TuningJob, say: Say) -> TuningProgress:
    check_output(job, say)
    source = parse_weights_source(job.weights)
    say(TuningProgress(phase="weights", message=f"looking for {source}"))
    weights = ensure(source, progress=lambda each: say(_of_weights(each)), trust_remote_code=job.trust_remote_code)
    tokenizer = load_tokenizer(job, weights.path)
    say(TuningProgress(phase="data", message="fetching the data"))
    data = load(job, tokenizer, say)
    say(TuningProgress(phase="training", message=f"{data.summary}; loading {job.preset}"))
    key = key_of(job, data, weights.digest)
    check_tag(job, key)
    with explained(job, Path(job.directory)):
        before, trained = _trained(job, data, weights.path, tokenizer, key, say)
        evaluation = evaluate(job, trained, before, data, weights.digest, say)
    published = publish(job, trained, evaluation, data, key, say)
    result = TuningProgress(
        phase="done",
        message=evaluation.sentence,
        step=trained.steps,
        steps=trained.steps,
        loss=trained.losses[-1][1] if trained.losses else None,
        tokens_per_second=trained.tokens_per_second or None,
        metrics=dict(evaluation.metrics),
        adapter_digest=trained.adapter_digest,
        image_digest=published.image_digest,
        adapter_directory=str(published.adapter_directory),
        gate_passed=evaluation.gate_passed,
        gate_failures=evaluation.gate_failures,
    )
    say(result)
    return result


def _trained(
    job: TuningJob, data: Data, weights: Path, tokenizer: PreTrainedTokenizerBase, key: str, say: Say
) -> tuple[Scores, Trained]:
    """What the model can do as it is, and with what it has learnt."""
    model = load_model(job, weights)
    scores = before_training(job, model, tokenizer, data, key, say)
    if job.devices == 1:
        return scores, train(job, data, model, tokenizer, key, say)
    del model
    gc.collect()
    torch.cuda.empty_cache()
    train_on_devices(job, data, weights, key, say)
    model = load_model(job, weights)
    return scores, train(job.model_copy(update={"resume": True}), data, model, tokenizer, key, say)


def _of_weights(progress: Progress) -> TuningProgress:
    of = f", {progress.done / progress.total:.0%}" if progress.done is not None and progress.total else ""
    return TuningProgress(phase="weights", message=f"{progress.message}{of}")
