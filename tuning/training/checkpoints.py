"""Checkpoints of one training, of which those that were not written to their end are never gone on with.

The trainer writes into checkpoint-N directly. A mark that is written after everything else, and put in its place by a
rename, tells a whole one; it also tells which training it is of.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

_MARK = "whole"
_PREFIX = "checkpoint-"


class Checkpoints:
    """Those of the training with the digest `key`, below `directory`."""

    def __init__(self, directory: Path, key: str) -> None:
        self.directory = directory
        self._key = key

    def newest(self) -> Path | None:
        """The last whole one. Those of another training, and those that are not whole, are removed."""
        whole = []
        for path in self.directory.glob(f"{_PREFIX}*"):
            if self._is_whole(path):
                whole.append(path)
            else:
                shutil.rmtree(path)
        return max(whole, key=step_of, default=None)

    def finish(self, step: int) -> None:
        """Mark the one of this step as whole: its files are on the disk before the mark is."""
        path = self.directory / f"{_PREFIX}{step}"
        for file in (each for each in path.rglob("*") if each.is_file()):
            with file.open("rb") as opened:
                os.fsync(opened.fileno())
        partial = path / f"{_MARK}.partial"
        partial.write_text(self._key, encoding="utf-8")
        partial.replace(path / _MARK)

    def remove(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)

    def _is_whole(self, path: Path) -> bool:
        try:
            return (path / _MARK).read_text(encoding="utf-8") == self._key
        except OSError:
            return False


def step_of(checkpoint: Path) -> int:
    """
    >>> step_of(Path("checkpoint-50"))
    50
    """
    return int(checkpoint.name.removeprefix(_PREFIX))
