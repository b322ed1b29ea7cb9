"""Whether there is a place for the adapter, asked before it is made."""

from __future__ import annotations

import os
from pathlib import Path

from presets.tuning_job import TuningJob, TuningProgress
from tuning.errors import TuningError
from tuning.progress import Say
from tuning.publishing.push import must_be_free, must_take_pushes, reference_of


def check_output(job: TuningJob, say: Say) -> None:
    """Raises TuningError where nothing could be published, whatever the adapter."""
    if job.output.image:
        reference = reference_of(job.output.image)
        say(TuningProgress(phase="data", message=f"asking {reference.registry} whether it takes {reference}"))
        must_take_pushes(reference)
    if job.output.directory:
        _must_be_writable(Path(job.output.directory))


def check_tag(job: TuningJob, key: str) -> None:
    """Raises TuningError (TagExists) where the tag has what this job will not make; `key` is that of the training."""
    if job.output.image and not job.output.overwrite:
        must_be_free(reference_of(job.output.image), key)


def _must_be_writable(directory: Path) -> None:
    existing = next(path for path in (directory, *directory.parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise TuningError(
            "OutputNotWritable", f"{directory} cannot be written: correct the path, or change its owner or its mode"
        )
