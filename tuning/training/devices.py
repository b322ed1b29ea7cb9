"""A training by several processes, one a GPU, each with the whole model and its share of every batch.

Never run on GPUs: tests run it on a CPU, where the processes speak by gloo instead of NCCL.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from presets.tuning_job import JOB_VARIABLE, TuningJob, TuningProgress
from tuning.data.rows import Data
from tuning.errors import TuningError
from tuning.progress import Say
from tuning.training.checkpoints import Checkpoints
from tuning.training.train import CHECKPOINTS, forget
from tuning.training.trained import kept

_WORKER = "tuning.training.device_process"
_SECONDS_TO_END = 30.0


def train_on_devices(job: TuningJob, data: Data, weights: Path, key: str, say: Say) -> None:
    """Leaves in the job's directory what `train` with the same `key` then finds there. No model may be on the GPUs.

    Raises TuningError as `train` does, and TuningFailed where a process ends without a word.
    """
    directory = Path(job.directory)
    if job.resume and kept(job, key) is not None:
        return
    forget(job, Checkpoints(directory / CHECKPOINTS, key))
    directory.mkdir(parents=True, exist_ok=True)
    rows = directory / "devices.json"
    rows.write_text(json.dumps({"kind": data.kind, "train": [dict(row) for row in data.train]}), encoding="utf-8")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={job.devices}"]
    worker = ["-m", _WORKER, str(weights), str(rows), key]
    environment = {**os.environ, JOB_VARIABLE: job.model_copy(update={"resume": True}).model_dump_json()}
    process = subprocess.Popen([*launcher, *worker], env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        failure = _told(process.stdout, say)
        status = process.wait()
    finally:
        _end(process)
        rows.unlink(missing_ok=True)
    if failure is not None:
        raise TuningError(failure.reason, failure.message)
    if status != 0 or kept(job, key) is None:
        raise TuningError(
            "TuningFailed", f"a process of {job.devices} has ended with status {status}; its log says why"
        )


def _told(lines: Iterable[str], say: Say) -> TuningProgress | None:
    """Passes on what the processes tell; the first failure is the result, since those of the others follow from it."""
    failure: TuningProgress | None = None
    for line in lines:
        progress = TuningProgress.read(line)
        if progress is None:
            sys.stderr.write(line)
        elif progress.reason:
            failure = failure or progress
        else:
            say(progress)
    return failure


def _end(process: subprocess.Popen[str]) -> None:
    """The launcher ends its processes when it is told to end."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            process.kill()
    if process.stdout is not None:
        process.stdout.close()
