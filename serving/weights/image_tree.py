"""What the layers of an image make of a folder, as far as a model's files go. Nothing else of them is written."""

from __future__ import annotations

import errno
import os
import shutil
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

from serving.oci.layer import opened, unsafe
from serving.weights import space
from serving.weights.checkpoint import PICKLES, SIDE_FILES

_WEIGHTS = ("*.safetensors", "*.gguf")
_WANTED = (*{pattern.rpartition("/")[2] for pattern in SIDE_FILES}, *_WEIGHTS)
_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"
"""Marks of a layer: the file of that name is gone; what earlier layers have in this folder is."""
_MAX_HEADERS = 128 * 2**20
"""Bytes in a layer: a system's files have a header each, although none of them is wanted."""
_MAX_GROWTH = 20
"""Times that a layer may be larger when it is decompressed, and a GiB beside that."""


def is_wanted(path: PurePosixPath) -> bool:
    """Whether a model may have a file of this name."""
    return any(fnmatch(path.name, pattern) for pattern in _WANTED)


class ImageTree:
    """The files below `root`, by their paths in the image. Only regular files are ever written."""

    def __init__(self, root: Path, source: str) -> None:
        self.root = root
        self.left_out: set[str] = set()
        """Names of files with weights in a form that is not taken."""
        self._source = source
        self._links: set[PurePosixPath] = set()
        root.mkdir()

    def add(self, layer: Path, size: int) -> None:
        """Lay a layer, an archive of `size` bytes, over those before it. Raises WeightsError."""
        bound = size * _MAX_GROWTH + 2**30
        fresh: set[PurePosixPath] = set()
        with opened(layer, self._source, max_bytes=bound, max_headers=_MAX_HEADERS) as archive:
            for path, member in archive:
                if path.name.startswith(_WHITEOUT):
                    self._remove(path, fresh)
                elif any(fnmatch(path.name, pattern) for pattern in PICKLES) and member.isreg():
                    self.left_out.add(path.name)
                elif is_wanted(path) and not member.isdir():
                    self._forget(path)
                    fresh.add(path)
                    if member.isreg():
                        space.require(self.root, member.size, f"unpacking {path} of {self._source}")
                        archive.write(member, self._made(path))
                    else:
                        self._links.add(path)

    def place(self, blob: Path, path: PurePosixPath) -> None:
        """Have a file that was fetched at its place; it stays where it came to as well, if the disk has hard links."""
        try:
            self._forget(path)
            target = self._made(path)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise unsafe(self._source, f"has a file that cannot be written, {str(path)[:80]!r} ({error})") from error
        try:
            os.link(blob, target)
        except OSError:
            blob.replace(target)

    def refuse_links(self) -> None:
        """Raise UnsafeArchive where a model's folder has links in place of its files: they lead anywhere."""
        weights = {path for pattern in _WEIGHTS for path in self.root.rglob(pattern)}
        folders = {PurePosixPath(path.relative_to(self.root).parent) for path in weights}
        folders |= {path.parent for path in self._links if any(fnmatch(path.name, pattern) for pattern in _WEIGHTS)}
        for path in sorted(self._links):
            if path.parent in folders:
                raise unsafe(self._source, f"has {path} as a link or device instead of a file")

    def _remove(self, mark: PurePosixPath, fresh: set[PurePosixPath]) -> None:
        """What a mark says is gone of earlier layers; `fresh` is what this one has."""
        path = mark.parent if mark.name == _OPAQUE else mark.with_name(mark.name.removeprefix(_WHITEOUT) or mark.name)
        there = self.root / path
        files = there.rglob("*") if there.is_dir() else iter([there])
        for file in list(files):
            if file.is_file() and PurePosixPath(file.relative_to(self.root)) not in fresh:
                file.unlink()
        self._links = {link for link in self._links if link in fresh or not link.is_relative_to(path)}

    def _forget(self, path: PurePosixPath) -> None:
        """Without what earlier layers have there."""
        self._links.discard(path)
        there = self.root / path
        if there.is_dir():
            shutil.rmtree(there)
        else:
            there.unlink(missing_ok=True)

    def _made(self, path: PurePosixPath) -> Path:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        return target
