"""Files of config maps, secrets and tokens, which change all at once under a program that reads them."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class File:
    """A file's content and its permissions."""

    content: bytes
    mode: int


def write_all(folder: Path, files: Mapping[str, File], group: int | None) -> None:
    """Make `folder` show exactly these files, by their paths in it.

    As a kubelet does it: the files lie in a folder that `..data` links to, and each name links through that. `group`
    may read them all.
    """
    data = folder / "..data"
    current = {path: (data / path).read_bytes() if (data / path).is_file() else None for path in files}
    if data.exists() and current == {path: file.content for path, file in files.items()} and _same(data, files):
        return
    fresh = folder / f"..{time.time_ns():x}"
    for path, file in files.items():
        target = fresh / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.content)
        target.chmod(file.mode if group is None else file.mode | 0o440)
        if group is not None:
            os.chown(target, -1, group)
    fresh.mkdir(parents=True, exist_ok=True)
    fresh.chmod(0o755)
    old = data.resolve() if data.is_symlink() else None
    link = folder / "..data_tmp"
    link.symlink_to(fresh.name)
    link.rename(data)
    tops = {path.partition("/")[0] for path in files}
    for top in tops:
        if not (folder / top).is_symlink():
            (folder / top).symlink_to(f"..data/{top}")
    for entry in folder.iterdir():
        if entry.is_symlink() and entry.name not in tops and not entry.name.startswith(".."):
            entry.unlink()
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)


def _same(data: Path, files: Mapping[str, File]) -> bool:
    there = {str(path.relative_to(data)) for path in data.rglob("*") if path.is_file()}
    return there == set(files)
