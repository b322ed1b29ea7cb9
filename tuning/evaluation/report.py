"""The report of a tuning: report.json for programs, report.md for people, with loss.png."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from presets.tuning_job import TuningJob
from serving.weights.space import human
from tuning.data.rows import Data
from tuning.evaluation.answers import Answer
from tuning.evaluation.curve import draw
from tuning.training.trained import Training

FILES = ("report.json", "report.md", "loss.png")
_LIBRARIES = ("torch", "transformers", "peft", "trl", "bitsandbytes", "datasets")
_SAMPLES = 5
_ROWS = (
    ("held_out_loss", "loss over held-out answers"),
    ("perplexity", "perplexity of held-out answers"),
    ("exact_match", "held-out answers word for word"),
    ("rouge_l", "ROUGE-L of held-out answers"),
    ("regression_loss", "loss over general questions"),
)


def write_report(
    job: TuningJob,
    data: Data,
    training: Training,
    *,
    metrics: Mapping[str, float],
    gate_failures: Sequence[str],
    weights_digest: str,
    samples: Sequence[tuple[Answer, Answer]],
) -> Path:
    """The directory with FILES, in the job's own."""
    directory = Path(job.directory) / "report"
    directory.mkdir(exist_ok=True)
    report = {
        "workspace": job.workspace,
        "base": {"preset": job.preset, "weights": job.weights, "digest": weights_digest},
        "adapter_digest": training.adapter_digest,
        "job": _shown(job),
        "data": {"files": dict(data.digests), "report": json.loads(data.report.read_text(encoding="utf-8"))},
        "metrics": dict(metrics),
        "gate": {"passed": not gate_failures, "failures": list(gate_failures)},
        "training": asdict(training) | {"planned_bytes": job.planned_bytes},
        "samples": [
            {"question": old.question, "wanted": old.wanted, "before": old.given, "after": new.given}
            for old, new in samples
        ],
        "versions": versions(),
    }
    draw(training.losses, directory / "loss.png")
    (directory / "report.json").write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (directory / "report.md").write_text(_page(job, data, training, report), encoding="utf-8")
    return directory


def _shown(job: TuningJob) -> dict[str, Any]:
    """Without what may hold a login: a URL, whose files are among the digests, and the hub's token."""
    shown = job.model_dump(mode="json", exclude={"directory": True, "data": {"urls", "checksums"}})
    shown["training"] = {key: value for key, value in shown["training"].items() if "token" not in key}
    return shown


def versions() -> dict[str, str]:
    return {name: version(name) for name in _LIBRARIES}


def _page(job: TuningJob, data: Data, training: Training, report: Mapping[str, Any]) -> str:
    metrics, failures = report["metrics"], report["gate"]["failures"]
    lines = [f"# {job.workspace}: an adapter for {job.preset}", ""]
    lines += [f"{data.summary[:1].upper()}{data.summary[1:]}.", ""]
    lines += ["| | before | after |", "| --- | --- | --- |"]
    lines += [
        f"| {words} | {metrics[f'{name}_before']:.4g} | {metrics[f'{name}_after']:.4g} |"
        for name, words in _ROWS
        if f"{name}_before" in metrics and f"{name}_after" in metrics
    ]
    lines += ["", _verdict(job, failures), "", "![loss](loss.png)", ""]
    planned = f", of {human(job.planned_bytes)} planned" if job.planned_bytes else ""
    lines += [
        f"{training.steps} steps, {training.tokens_per_second:.0f} tokens a second, {training.seconds:.0f} s in the "
        f"last run, {human(training.peak_bytes)} of memory at the peak{planned}.",
        "",
    ]
    if report["samples"]:
        lines += ["| question | wanted | before | after |", "| --- | --- | --- | --- |"]
        lines += [
            "| " + " | ".join(_cell(sample[key]) for key in ("question", "wanted", "before", "after")) + " |"
            for sample in report["samples"][:_SAMPLES]
        ]
        lines += [""]
    lines += ["| made from | |", "| --- | --- |", f"| model | {job.weights} ({report['base']['digest'][:19]}) |"]
    lines += [f"| data | {_cell(name)} ({digest[:19]}) |" for name, digest in data.digests.items()]
    lines += [f"| {name} | {number} |" for name, number in report["versions"].items()]
    return "\n".join(lines) + "\n"


def _verdict(job: TuningJob, failures: Sequence[str]) -> str:
    if failures:
        return f"**The gate is missed**, so that the adapter is not served: {'; '.join(failures)}."
    return "**The gate is passed.**" if job.evaluation.gate.is_set else "There is no gate."


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())[:200]
