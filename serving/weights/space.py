"""Disk space: asked for before work begins, named when it runs out in the middle."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from serving.weights.errors import WeightsError

MARGIN = 1.05
"""Room for what a size on paper leaves out: directory entries, block sizes, tokenizer files."""


def free_bytes(directory: Path) -> int:
    """Bytes that this user may still write to the file system of `directory`, which need not exist yet."""
    existing = next(path for path in (directory, *directory.parents) if path.exists())
    return shutil.disk_usage(existing).free


def require(directory: Path, need: int, doing: str, *, settings: str = "MODELYARD_CACHE") -> None:
    """Raise WeightsError (NoSpace) unless `need` bytes and a margin fit; `doing` begins the message."""
    free = free_bytes(directory)
    if free < need * MARGIN:
        raise no_space(directory, doing, need=need, free=free, settings=settings)


@contextmanager
def told(directory: Path, doing: str, *, settings: str = "MODELYARD_CACHE") -> Iterator[None]:
    """Turn a disk that fills up within the block into NoSpace."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise no_space(directory, doing, settings=settings) from error


def no_space(
    directory: Path, doing: str, *, need: int | None = None, free: int | None = None, settings: str = "MODELYARD_CACHE"
) -> WeightsError:
    """The one wording of a full disk; sizes in bytes, `settings` is the variable that moves the directory elsewhere."""
    free = free_bytes(directory) if free is None else free
    needed = f"{human(int(need * MARGIN))}" if need is not None else f"more than the {human(free)} there is"
    there_is = f" and {human(free)} is free" if need is not None else ""
    return WeightsError(
        "NoSpace",
        f"{doing} needs {needed} in {directory}{there_is}: free space there, or set {settings} to a directory on a "
        "larger disk",
    )


def human(size: int) -> str:
    """A size in decimal units, as disks are sold.

    >>> human(269060552)
    '269 MB'
    """
    value = float(size)
    for unit in ("B", "kB", "MB"):
        if value < 999.5:
            return f"{value:.0f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"
