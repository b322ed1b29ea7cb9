"""One of the processes of devices.py: python -m tuning.training.device_process WEIGHTS ROWS KEY

Started by torch's launcher, which sets LOCAL_RANK and what the processes find each other by. The first one tells what
there is to tell and keeps the adapter. Exit status: 0 trained, 1 not, with the reason said.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import torch

from presets.tuning_job import JOB_VARIABLE, TuningJob, TuningProgress
from tuning.data.rows import Data
from tuning.errors import TuningError
from tuning.progress import to_output
from tuning.training.checkpoints import Checkpoints
from tuning.training.failures import explained
from tuning.training.fit import fit
from tuning.training.model import load_model, load_tokenizer
from tuning.training.train import CHECKPOINTS
from tuning.training.trained import keep


def main(arguments: list[str]) -> int:
    weights, rows, key = Path(arguments[0]), Path(arguments[1]), arguments[2]
    job = TuningJob.model_validate_json(os.environ[JOB_VARIABLE])
    given = json.loads(rows.read_text(encoding="utf-8"))
    data = Data(kind=given["kind"], train=tuple(given["train"]), held_out=(), digests={}, report=rows, summary="")
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    directory = Path(job.directory)
    say = to_output if os.environ["RANK"] == "0" else lambda _: None
    try:
        with explained(job, directory):
            model, tokenizer = load_model(job, weights), load_tokenizer(job, weights)
            fitted = fit(job, data, model, tokenizer, Checkpoints(directory / CHECKPOINTS, key), say)
            if fitted.is_first:
                keep(fitted.model, job, key, fitted.said)
    except TuningError as error:
        to_output(TuningProgress(phase="training", message=error.message, reason=error.reason))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
