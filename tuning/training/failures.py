"""What libraries raise while a model is trained, as reasons with a way out."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from presets.tuning_job import TuningJob
from serving.weights.space import free_bytes, human
from tuning.errors import TuningError
from tuning.training.memory import peak_bytes

_OUT_OF_MEMORY = ("can't allocate memory", "out of memory", "not enough memory", "CUBLAS_STATUS_ALLOC_FAILED")
"""In what torch raises beside OutOfMemoryError: its allocator on a CPU, and cuBLAS."""
_DISK_FULL = ("No space left", "os error 28", "Disk quota exceeded", "PytorchStreamWriter failed", "file write failed")
"""In what safetensors and torch.save raise where a file cannot be written."""


@contextmanager
def explained(job: TuningJob, directory: Path) -> Iterator[None]:
    """Raises TuningError for what is known to go wrong; everything else passes."""
    try:
        yield
    except TuningError:
        raise
    except Exception as error:
        known = _explanation(error, job, directory)
        if known is None:
            raise
        raise known from error


def _explanation(error: Exception, job: TuningJob, directory: Path) -> TuningError | None:
    """By type where there is one; torch raises RuntimeError for much, and safetensors a bare Exception."""
    if isinstance(error, OSError):
        return no_space(directory) if error.errno in (errno.ENOSPC, errno.EDQUOT) else None
    text = str(error)
    if isinstance(error, torch.OutOfMemoryError | MemoryError) or any(sign in text for sign in _OUT_OF_MEMORY):
        return out_of_memory(job)
    return no_space(directory) if any(sign in text for sign in _DISK_FULL) else None


def out_of_memory(job: TuningJob) -> TuningError:
    planned = f"the plan has reckoned {human(job.planned_bytes)}, " if job.planned_bytes else ""
    smaller = [f"per_device_train_batch_size {max(1, job.batch_size // 2)}"] if job.batch_size > 1 else []
    smaller += [f"max_length {max(1, job.max_length // 2)}"]
    smaller += ["gradient_checkpointing: true"] if not job.gradient_checkpointing else []
    smaller += ["method: qlora"] if job.method == "lora" else []
    return TuningError(
        "OutOfMemory",
        f"a step with {job.batch_size} examples of up to {job.max_length} tokens needs more memory than there is "
        f"({planned}the most that was had is {human(peak_bytes())}): write {', or '.join(smaller)}",
    )


def loss_not_finite(job: TuningJob, step: int, loss: float, rate: float) -> TuningError:
    """`rate`: the highest learning rate of the schedule."""
    float16 = "; float16 overflows more easily than bfloat16" if job.dtype == "float16" else ""
    return TuningError(
        "LossNotFinite",
        f"the loss of step {step} is {loss}, with a learning rate of {rate:g}: write a lower "
        f"TrainingArguments.learning_rate, such as {min(rate / 10, 1e-4):g}, and a lower max_grad_norm where that does "
        f"not help{float16}",
    )


def no_space(directory: Path) -> TuningError:
    return TuningError(
        "NoSpace",
        f"the disk of {directory} is full ({human(free_bytes(directory))} free): free space there; the next update "
        "goes on from the last checkpoint",
    )
