"""What an entry of the cache holds: every file with its size, time and sha256, and where it all came from."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from serving.weights.model import Progress, Report

NAME = "manifest.json"
SILENT_BYTES = 10**9
"""Read in about a second; of more than this, progress is reported."""


class FileRecord(BaseModel):
    """One file; `name` is relative to the manifest's root."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    bytes: int
    mtime_ns: int
    sha256: str

    def looks_unchanged(self, root: Path) -> bool:
        """Size and time are as recorded; the content is not read."""
        try:
            stat = (root / self.name).stat()
        except OSError:
            return False
        return (stat.st_size, stat.st_mtime_ns) == (self.bytes, self.mtime_ns)

    def is_intact(self, root: Path) -> bool:
        """The content is as recorded; read in full unless the size already tells."""
        path = root / self.name
        try:
            return path.stat().st_size == self.bytes and sha256_of(path) == self.sha256
        except OSError:
            return False


class Manifest(BaseModel):
    """The record of one entry, written last, so that an entry with a manifest is complete."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    source: str
    created_by: dict[str, str]
    """Versions of the programs that fetched and converted."""
    root: str | None = None
    """Absolute directory of the files, where they are not beside the manifest."""
    files: tuple[FileRecord, ...]

    @property
    def digest(self) -> str:
        """`sha256:HEX` over names and contents of all files; times and places do not enter."""
        lines = "".join(f"{file.sha256}  {file.name}\n" for file in sorted(self.files, key=lambda file: file.name))
        return "sha256:" + hashlib.sha256(lines.encode()).hexdigest()

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)

    def changed(self, root: Path) -> list[FileRecord]:
        """Files whose size or time differs from the record: to be read, not yet to be called damaged."""
        return [file for file in self.files if not file.looks_unchanged(root)]

    def damaged(self, root: Path) -> list[FileRecord]:
        """Files that are missing or whose content differs from the record; only changed ones are read."""
        return [file for file in self.changed(root) if not file.is_intact(root)]

    def with_times_of(self, root: Path) -> Manifest:
        """The same record with the times that the intact files have now, as after a copy of the cache."""
        files = (file.model_copy(update={"mtime_ns": (root / file.name).stat().st_mtime_ns}) for file in self.files)
        return self.model_copy(update={"files": tuple(files)})

    def write(self, directory: Path) -> None:
        temporary = directory / f"{NAME}.{os.getpid()}"
        temporary.write_text(self.model_dump_json(indent=1) + "\n")
        temporary.replace(directory / NAME)


def record(
    source: str,
    created_by: dict[str, str],
    root: Path,
    names: Iterable[str],
    *,
    elsewhere: bool = False,
    report: Report | None = None,
) -> Manifest:
    """Read `names` below `root` into a manifest; `elsewhere`: the manifest will not stand in `root` itself."""
    sizes = {name: (root / name).stat().st_size for name in sorted(names)}
    done, total = 0, sum(sizes.values())
    files: list[FileRecord] = []
    for name, size in sizes.items():
        if report is not None and total > SILENT_BYTES:
            report(Progress(message=f"checksum of {name}", done=done, total=total))
        files.append(_record_of(root, name))
        done += size
    return Manifest(source=source, created_by=created_by, root=str(root) if elsewhere else None, files=tuple(files))


def read(directory: Path) -> Manifest | None:
    """The manifest of an entry, None if there is none or it is not one (a half-written or older format)."""
    try:
        return Manifest.model_validate_json((directory / NAME).read_bytes())
    except (OSError, ValidationError):
        return None


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _record_of(root: Path, name: str) -> FileRecord:
    path = root / name
    stat = path.stat()
    return FileRecord(name=name, bytes=stat.st_size, mtime_ns=stat.st_mtime_ns, sha256=sha256_of(path))
