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
    assert not half.exists()


def test_those_of_another_training_are_removed(tmp_path: Path) -> None:
    written(tmp_path, 5)
    Checkpoints(tmp_path, "before").finish(5)
    assert Checkpoints(tmp_path, "now").newest() is None
    assert not list(tmp_path.iterdir())
