"""A training by two processes, which on a CPU speak to each other as they would on GPUs, but by gloo."""

from __future__ import annotations

from pathlib import Path

import pytest

from presets.tuning_job import TuningProgress
from tests.tuning.jobs import data, job
from tuning.training.devices import train_on_devices
from tuning.training.model import load_model, load_tokenizer
from tuning.training.train import train

pytestmark = pytest.mark.slow


def test_two_processes_share_a_batch_and_make_one_adapter(smollm2_dir: Path, tmp_path: Path) -> None:
    """Each has one row of two: the losses are those of one process that has both."""
    two = job(tmp_path / "two", devices=2, batch_size=1, max_steps=2, checkpoint_steps=1)
    said: list[TuningProgress] = []
    train_on_devices(two, data(tmp_path), smollm2_dir, "key", said.append)
    assert said[-1].message == "step 2 of 2", "only the first process tells, and it is passed on"

    def by_one(asked_in: Path, devices: int) -> tuple[tuple[int, float], ...]:
        asked = job(asked_in, devices=devices, batch_size=2 // devices, max_steps=2, checkpoint_steps=1)
        model, tokenizer = load_model(asked, smollm2_dir), load_tokenizer(asked, smollm2_dir)
        return train(asked, data(tmp_path), model, tokenizer, "key", said.append).losses

    shared = by_one(tmp_path / "two", 2)
    assert said[-1].message == "trained already, by an earlier run"
    alone = by_one(tmp_path / "one", 1)
    assert [loss for _, loss in shared] == pytest.approx([loss for _, loss in alone], rel=0.01)
