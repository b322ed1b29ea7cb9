"""Which checkpoints a training goes on from."""

from __future__ import annotations

from pathlib import Path

from tuning.training.checkpoints import Checkpoints


def written(directory: Path, step: int) -> Path:
    path = directory / f"checkpoint-{step}"
    path.mkdir(parents=True)
    (path / "optimizer.pt").write_bytes(b"momentum")
    return path


def test_the_last_whole_one_is_gone_on_with_and_a_half_one_is_removed(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, "key")
    for step in (5, 10):
        written(tmp_path, step)
        checkpoints.finish(step)
    half = written(tmp_path, 15)
    newest = checkpoints.newest()
    assert newest is not None
    assert newest.name == "checkpoint-10"
    checkpoints.remove_others()
    assert newest.exists()
    assert not half.exists()


def test_one_that_has_lost_a_part_is_not_gone_on_with(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, "key")
    for step in (5, 10):
        written(tmp_path, step)
        checkpoints.finish(step)
    (tmp_path / "checkpoint-10" / "optimizer.pt").write_bytes(b"mom")
    newest = checkpoints.newest()
    assert newest is not None
    assert newest.name == "checkpoint-5"


def test_those_of_another_training_are_removed(tmp_path: Path) -> None:
    written(tmp_path, 5)
    Checkpoints(tmp_path, "before").finish(5)
    now = Checkpoints(tmp_path, "now")
    assert now.newest() is None
    now.remove_others()
    assert not list(tmp_path.iterdir())
