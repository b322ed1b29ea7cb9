"""README.md of an adapter, as the hub shows it: what it is, what it was made from, what it can."""

from __future__ import annotations

from collections.abc import Mapping

import yaml

from presets.tuning_job import TuningJob
from tuning.data.rows import Data
from tuning.training.trained import Training


def card(job: TuningJob, data: Data, training: Training, metrics: Mapping[str, float]) -> str:
    front = {"base_model": job.weights, "library_name": "peft", "tags": [job.method, "modelyard"]}
    lora = job.lora
    lines = ["---", yaml.safe_dump(front, sort_keys=True).strip(), "---", "", f"# {job.workspace}", ""]
    lines += [
        f"A LoRA adapter for {job.preset}: rank {lora.rank}, alpha {lora.alpha:g}, on "
        f"{', '.join(lora.target_modules)}; {job.method}, {training.steps} steps, seed {job.seed}.",
        "",
        "| data | SHA-256 |",
        "| --- | --- |",
    ]
    lines += [f"| {name} | {digest.removeprefix('sha256:')} |" for name, digest in data.digests.items()]
    lines += ["", "| measured | |", "| --- | --- |"]
    lines += [f"| {name} | {value:.5g} |" for name, value in metrics.items()]
    lines += ["", "The whole report is report.md.", ""]
    return "\n".join(lines)
