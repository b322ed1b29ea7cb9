"""What libraries raise when memory or a disk is at its end, as reasons."""

from __future__ import annotations

import errno
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from presets.tuning_job import TuningProgress
from tests.tuning.jobs import data, job
from tuning.errors import TuningError
from tuning.training.devices import _told
from tuning.training.failures import explained
from tuning.training.model import load_model, load_tokenizer
from tuning.training.train import train


def test_a_step_that_does_not_fit_is_told_with_what_to_write(tmp_path: Path) -> None:
    asked = job(tmp_path, batch_size=8, max_length=512, planned_bytes=3 * 10**9)
    with pytest.raises(TuningError) as error, explained(asked, tmp_path):
        torch.empty(10**15)  # what torch's allocator says of it is what it says in a step
    assert error.value.reason == "OutOfMemory"
    for words in ("per_device_train_batch_size 4", "max_length 256", "gradient_checkpointing: true", "3.0 GB"):
        assert words in error.value.message


@pytest.mark.parametrize(
    ("raised", "reason"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), "OutOfMemory"),
        (MemoryError(), "OutOfMemory"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED"), "OutOfMemory"),
        (OSError(errno.ENOSPC, "No space left on device"), "NoSpace"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "NoSpace"),
        (RuntimeError("[enforce fail] PytorchStreamWriter failed writing file data/0"), "NoSpace"),
    ],
)
def test_failures_have_reasons(raised: Exception, reason: str, tmp_path: Path) -> None:
    with pytest.raises(TuningError) as error, explained(job(tmp_path), tmp_path):
        raise raised
    assert error.value.reason == reason


def test_what_is_not_known_is_not_made_up(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="shapes"), explained(job(tmp_path), tmp_path):
        raise RuntimeError("shapes cannot be multiplied")


def test_the_first_of_several_processes_to_fail_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    said: list[TuningProgress] = []
    step = TuningProgress(phase="training", message="step 1 of 2")
    first = TuningProgress(phase="training", message="too large", reason="OutOfMemory")
    follows = TuningProgress(phase="training", message="peer is gone", reason="TuningFailed")
    lines = ["a warning\n", *(f"{each.line()}\n" for each in (step, first, follows))]
    assert _told(iter(lines), said.append) == first
    assert said == [step]
    assert capsys.readouterr().err == "a warning\n"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Three megabytes, which an adapter fits and its checkpoint does not."""
    where = tmp_path / "disk"
    where.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(where)]
    mounted = subprocess.run(mount, capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip("only root may mount a small disk")
    yield where
    subprocess.run(["umount", where], check=True)


@pytest.mark.slow
def test_a_full_disk_is_told_in_the_middle_of_a_checkpoint(smollm2_dir: Path, small_disk: Path) -> None:
    asked = job(small_disk, lora={"rank": 8, "target_modules": ["v_proj", "down_proj"]}, checkpoint_steps=1)
    model, tokenizer = load_model(asked, smollm2_dir), load_tokenizer(asked, smollm2_dir)
    with pytest.raises(TuningError) as error:
        train(asked, data(small_disk), model, tokenizer, "key", lambda _: None)
    assert error.value.reason == "NoSpace"
    assert f"the disk of {asked.directory} is full" in error.value.message
