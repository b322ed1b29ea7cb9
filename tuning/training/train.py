"""One training, from rows to an adapter in the job's directory; what an earlier process has done is not done again."""

from __future__ import annotations

from pathlib import Path

from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from presets.tuning_job import TuningJob, TuningProgress
from tuning.data.rows import Data
from tuning.progress import Say
from tuning.training.checkpoints import Checkpoints
from tuning.training.failures import explained
from tuning.training.fit import fit
from tuning.training.trained import TRAINED, Trained, keep, kept, trained

CHECKPOINTS = "checkpoints"
"""Their directory, below the job's."""


def train(
    job: TuningJob, data: Data, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, key: str, say: Say
) -> Trained:
    """The model in evaluation mode with its adapter, which a finished training of an earlier process may have made.

    `key` is that of key_of. Raises TuningError: InvalidTrainingArguments, also for targets that the model has not,
    OutOfMemory, LossNotFinite and NoSpace.
    """
    directory = Path(job.directory)
    checkpoints = Checkpoints(directory / CHECKPOINTS, key)
    before = kept(job, key) if job.resume else None
    if before is not None:
        say(TuningProgress(phase="training", message="trained already, by an earlier run", step=before.steps))
        checkpoints.remove()
        return trained(before, PeftModel.from_pretrained(model, str(directory / TRAINED)), tokenizer, job)
    forget(job, checkpoints)
    with explained(job, directory):
        fitted = fit(job, data, model, tokenizer, checkpoints, say)
        training = keep(fitted.model, job, key, fitted.said)
    checkpoints.remove()
    return trained(training, fitted.model, tokenizer, job)


def forget(job: TuningJob, checkpoints: Checkpoints) -> None:
    """Remove what this training cannot go on from, or is not to."""
    if job.resume:
        checkpoints.remove_others()
    else:
        checkpoints.remove()
