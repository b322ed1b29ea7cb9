"""The files of a layer that is a tar archive. What leads out of it or has no end is refused."""

from __future__ import annotations

import errno
import lzma
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from serving.oci.layer_file import MAX_HEADERS, MAX_READ, LayerFile
from serving.weights.errors import WeightsError

_MAX_MEMBERS = 100_000
_BROKEN = (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError, RecursionError, ValueError)
_FULL = (errno.ENOSPC, errno.EDQUOT)
_ZSTD = b"\x28\xb5\x2f\xfd"


class LayerArchive:
    """An open layer: its members in their order, each of which can be written while it is the last one seen."""

    def __init__(self, source: str, file: LayerFile, archive: tarfile.TarFile) -> None:
        self._source = source
        self._file = file
        self._archive = archive

    def __iter__(self) -> Iterator[tuple[PurePosixPath, tarfile.TarInfo]]:
        """Raises UnsafeArchive for a path that leads out of the archive, and for members without end."""
        for count, member in enumerate(self._archive, 1):
            if count > _MAX_MEMBERS:
                raise unsafe(self._source, f"has more than {_MAX_MEMBERS} files in a layer")
            path = PurePosixPath(member.name)
            if path.is_absolute() or ".." in path.parts:
                raise unsafe(self._source, f"has a file whose path leads out of it, {member.name[:80]!r}")
            yield path, member

    def write(self, member: tarfile.TarInfo, to: Path) -> None:
        """Write a regular file's content."""
        self._file.allow(member.size)
        content: IO[bytes] | None = self._archive.extractfile(member)
        assert content is not None, "a regular file has content"
        with content, to.open("wb") as out:
            while chunk := content.read(MAX_READ):
                out.write(chunk)


@contextmanager
def opened(layer: Path, source: str, *, max_bytes: int, max_headers: int = MAX_HEADERS) -> Iterator[LayerArchive]:
    """Open a layer; `max_bytes` and `max_headers` are of what it decompresses to.

    Raises WeightsError, within the block too: UnsafeArchive where a bound is passed, WeightsCorrupt for what is damaged
    or no archive.
    """
    _must_be_readable(layer, source)
    try:
        file = LayerFile(layer, max_bytes, lambda what: unsafe(source, what), max_headers=max_headers)
        with file, tarfile.open(fileobj=file, mode="r:") as archive:
            yield LayerArchive(source, file, archive)
    except _BROKEN as error:
        if isinstance(error, OSError) and error.errno in _FULL:
            raise
        raise WeightsError(
            "WeightsCorrupt",
            f"{source}: a layer is damaged or no tar archive with gzip, bzip2 or xz ({error}): push it again",
        ) from error


def unsafe(source: str, what: str) -> WeightsError:
    return WeightsError("UnsafeArchive", f"{source} {what}: it is not used; make the image from its files alone")


def _must_be_readable(layer: Path, source: str) -> None:
    with layer.open("rb") as file:
        if file.read(len(_ZSTD)) == _ZSTD:
            raise WeightsError(
                "WeightsCorrupt", f"{source} has a layer in zstd, which is not read: push it with gzip or uncompressed"
            )
