"""A layer of an image, decompressed as it is read, with bounds on what that may cost."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import IO, cast

from serving.weights.space import human

MAX_READ = 2**20
"""Bytes at once. tarfile reads a header with a long name or attributes in one piece, however long it says it is."""
MAX_HEADERS = 32 * 2**20
"""Bytes of all headers, where nothing else is said; tarfile keeps them."""

_OPENERS: dict[bytes, Callable[[Path], object]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\0": lzma.open,
}


class LayerFile(io.RawIOBase):
    """What tarfile needs of a file: forwards only, and no more than is allowed."""

    def __init__(
        self, layer: Path, max_bytes: int, refuse: Callable[[str], Exception], *, max_headers: int = MAX_HEADERS
    ) -> None:
        """`max_bytes` is for the whole layer, decompressed. Every bound that is passed raises what `refuse` makes."""
        self._content = _decompressed(layer)
        self._max_bytes = max_bytes
        self._refuse = refuse
        self._max_headers = self._allowance = max_headers

    def allow(self, size: int) -> None:
        """So many bytes more may be read: the content of a file that is wanted."""
        self._allowance += size

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= MAX_READ:
            raise self._refuse(f"has a header of more than {human(MAX_READ)} in a layer")
        self._allowance -= size
        if self._allowance < 0:
            raise self._refuse(f"has headers of more than {human(self._max_headers)} in a layer")
        return self._content.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence != io.SEEK_SET or offset < self._content.tell():
            raise self._refuse("has a layer whose files lie over each other")
        if offset > self._max_bytes:
            raise self._refuse(f"has a layer of more than {human(self._max_bytes)}")
        return self._content.seek(offset)

    def tell(self) -> int:
        return self._content.tell()

    def close(self) -> None:
        self._content.close()
        super().close()


def _decompressed(layer: Path) -> IO[bytes]:
    with layer.open("rb") as file:
        start = file.read(8)
    for magic, opener in _OPENERS.items():
        if start.startswith(magic):
            return cast("IO[bytes]", opener(layer))
    return layer.open("rb")
