"""Everything that is published of one adapter."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from presets.tuning_job import TuningJob, TuningProgress
from tuning.data.rows import Data
from tuning.evaluation.evaluate import Evaluation
from tuning.evaluation.report import FILES as REPORT_FILES
from tuning.progress import Say
from tuning.publishing.card import card
from tuning.publishing.image import adapter_image
from tuning.publishing.push import KEY_ANNOTATION, push, reference_of
from tuning.publishing.version import copy_to_volume, keep, version_of
from tuning.training.trained import ADAPTER_FILES, Trained


@dataclass(frozen=True, kw_only=True)
class Published:
    adapter_directory: Path
    """Of the version, in the job's directory."""
    image_digest: str | None


def publish(job: TuningJob, trained: Trained, evaluation: Evaluation, data: Data, key: str, say: Say) -> Published:
    """Raises TuningError. What was published already is not published again."""
    training = trained.training
    files: dict[str, Path | str] = {name: trained.adapter_directory / name for name in ADAPTER_FILES}
    files |= {name: evaluation.report / name for name in REPORT_FILES}
    files["README.md"] = card(job, data, training, evaluation.metrics)
    version = Path(job.directory) / "adapters" / version_of(training.adapter_digest)
    keep(files, version)
    if job.output.directory:
        say(TuningProgress(phase="publishing", message=f"copying the adapter to {job.output.directory}"))
        copy_to_volume(version, Path(job.output.directory), job.output.overwrite)
    if not job.output.image:
        return Published(adapter_directory=version, image_digest=None)
    image = adapter_image(version, _annotations(job, trained, evaluation, data, key))
    digest = push(image, reference_of(job.output.image), job.output.overwrite, say)
    return Published(adapter_directory=version, image_digest=digest)


def _annotations(job: TuningJob, trained: Trained, evaluation: Evaluation, data: Data, key: str) -> dict[str, str]:
    """KAITO's own, and where the adapter comes from."""
    return {
        "sh.kaito.model.name": job.preset,
        "org.opencontainers.image.title": job.workspace,
        "org.opencontainers.image.base.name": job.weights,
        KEY_ANNOTATION: key,
        "dev.modelyard.tuning.adapter": trained.training.adapter_digest,
        "dev.modelyard.tuning.data": json.dumps(dict(data.digests), sort_keys=True),
        "dev.modelyard.tuning.metrics": json.dumps(dict(evaluation.metrics), sort_keys=True),
    }
