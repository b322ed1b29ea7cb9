"""Checkpoints of one training, of which those that were not written to their end are never gone on with.

The trainer writes into checkpoint-N directly. A mark that is written after everything else, and put in its place by a
rename, tells a whole one: which training it is of, and how long each of its files is.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

_MARK = "whole.json"
_PREFIX = "checkpoint-"


class Checkpoints:
    """Those of the training with the digest `key`, below `directory`."""

    def __init__(self, directory: Path, key: str) -> None:
        self.directory = directory
        self._key = key

    def newest(self) -> Path | None:
        """The last whole one."""
        return max(filter(self._is_whole, self._all()), key=step_of, default=None)

    def remove_others(self) -> None:
        """Remove those of another training, and those that are not whole."""
        for path in self._all():
            if not self._is_whole(path):
                shutil.rmtree(path)

    def finish(self, step: int) -> None:
        """Mark the one of this step as whole: its files are on the disk before the mark is."""
        path = self.directory / f"{_PREFIX}{step}"
        sizes: dict[str, int] = {}
        for file in sorted(each for each in path.rglob("*") if each.is_file()):
            with file.open("rb") as opened:
                os.fsync(opened.fileno())
                sizes[str(file.relative_to(path))] = os.fstat(opened.fileno()).st_size
        partial = path / f"{_MARK}.partial"
        with partial.open("w", encoding="utf-8") as opened:
            json.dump({"key": self._key, "sizes": sizes}, opened)
            opened.flush()
            os.fsync(opened.fileno())
        partial.replace(path / _MARK)

    def remove(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)

    def _all(self) -> list[Path]:
        found = self.directory.glob(f"{_PREFIX}*")
        return [path for path in found if path.name.removeprefix(_PREFIX).isdecimal()]

    def _is_whole(self, path: Path) -> bool:
        try:
            mark = json.loads((path / _MARK).read_text(encoding="utf-8"))
            return mark["key"] == self._key and all(
                (path / name).stat().st_size == size for name, size in mark["sizes"].items()
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return False


def step_of(checkpoint: Path) -> int:
    """
    >>> step_of(Path("checkpoint-50"))
    50
    """
    return int(checkpoint.name.removeprefix(_PREFIX))
