"""Files with data: what one is called, its digest, and which of many are data at all."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

TABLES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet", ".arrow", ".feather")
"""Endings of files that are read."""
COMPRESSED = ".gz"
_SIDE_FILES = ("dataset_info.json", "dataset_dict.json", "dataset_infos.json", "state.json")
"""What datasets' save_to_disk and the hub write beside the data."""


@dataclass(frozen=True, kw_only=True)
class DataFile:
    path: Path
    name: str
    """As it is told: a path, or a URL without credentials."""

    def digest(self) -> str:
        """`sha256:HEX` of the file as it came."""
        with self.path.open("rb") as file:
            return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def ending(name: str) -> str:
    """The ending that tells the format, without that of the compression.

    >>> ending("https://example.com/Train.JSONL.gz"), ending("README")
    ('.jsonl', '')
    """
    return PurePosixPath(name.lower().removesuffix(COMPRESSED)).suffix


def is_data(name: str) -> bool:
    """Whether a file among others is taken for data, by its name."""
    path = PurePosixPath(name)
    hidden = any(part.startswith(".") for part in path.parts)
    return not hidden and path.name not in _SIDE_FILES and ending(path.name) in TABLES


def data_below(root: Path) -> list[str]:
    """Paths of the data files in a directory, relative to it, in their order by name; unreadable folders are left
    out, such as a volume's lost+found."""
    return sorted(name for name in all_below(root) if is_data(name))


def all_below(root: Path) -> Iterable[str]:
    for folder, _, names in os.walk(root):
        for name in names:
            yield (Path(folder) / name).relative_to(root).as_posix()
