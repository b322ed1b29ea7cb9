"""The two files of an adapter: in a directory, or in a layer of an image, which is a tar archive."""

from __future__ import annotations

import lzma
import tarfile
import zlib
from collections.abc import Collection, Mapping
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import IO

from serving.adapters.errors import AdapterError
from serving.adapters.layer_file import MAX_READ, LayerFile
from serving.engines.adapter_files import CONFIG, WEIGHTS
from serving.weights.checkpoint import PICKLES
from serving.weights.space import human

FILES = (CONFIG, WEIGHTS)

MAX_BYTES = {CONFIG: 2**20, WEIGHTS: 4 * 2**30}
"""Of rank 64, on every projection of a model with 70 billion parameters and in float32, an adapter has 3.1 GiB."""

_MAX_MEMBERS = 100_000
_FOLDERS = ("data", ".")
"""Where the files may be, in the order of preference; data/ is where KAITO's images have them."""
_MAX_LAYER = 2 * sum(MAX_BYTES.values())
"""Bytes of a layer, decompressed: there may be other files in it."""
_BROKEN = (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError, RecursionError, ValueError)


def extract(layer: Path, into: Path, source: str) -> set[str]:
    """Write what a layer has of the files into a directory; their names. Nothing else of it is written anywhere.

    Raises AdapterError: UnsafeArchive, AdapterTooLarge, AdapterUnreadable, PickledWeights.
    """
    found: dict[str, int] = {}
    pickles: list[str] = []
    try:
        file = LayerFile(layer, _MAX_LAYER, lambda what: _unsafe(source, what))
        with file, tarfile.open(fileobj=file, mode="r:") as archive:
            for count, member in enumerate(archive, 1):
                if count > _MAX_MEMBERS:
                    raise _unsafe(source, f"has more than {_MAX_MEMBERS} files in a layer")
                path = _path(member, source)
                if str(path.parent) not in _FOLDERS:
                    continue
                if any(path.match(pattern) for pattern in PICKLES):
                    pickles.append(path.name)
                if path.name in FILES and found.get(path.name, 99) > (rank := _FOLDERS.index(str(path.parent))):
                    _must_fit(member, path.name, source)
                    file.allow(member.size)
                    _write(archive, member, into / path.name)
                    found[path.name] = rank
    except _BROKEN as error:
        raise AdapterError(
            "AdapterUnreadable",
            f"{source}: a layer is damaged or no tar archive with gzip, bzip2 or xz ({error}): push it again",
        ) from error
    if pickles and WEIGHTS not in found and CONFIG in found:
        raise pickled(source, pickles[0])
    return set(found)


def pickled(source: str, name: str) -> AdapterError:
    return AdapterError(
        "PickledWeights",
        f"{source} has its weights only as {name}, a pickle, which can run any code when it is read: save it with "
        "safe_serialization=True, which peft does by default",
    )


def missing(source: str, names: Collection[str]) -> AdapterError:
    """Of a source that lacks these of the two files."""
    return AdapterError(
        "AdapterNotFound",
        f"{source} has no {' and no '.join(sorted(names))}: an adapter is what peft's save_pretrained writes, "
        f"{CONFIG} and {WEIGHTS}, in an image below data/",
    )


def too_large(source: str, name: str, size: int) -> AdapterError:
    return AdapterError(
        "AdapterTooLarge",
        f"{source}: {name} has {human(size)} and may have {human(MAX_BYTES[name])}: choose a lower rank, or merge the "
        "adapter into its model",
    )


def must_be_usable(source: str, sizes: Mapping[str, int]) -> None:
    """Refuse a directory or repository by its files' names and sizes in bytes. Raises AdapterError."""
    if WEIGHTS not in sizes and CONFIG in sizes:
        for name in sorted(sizes):
            if any(fnmatch(name, pattern) for pattern in PICKLES):
                raise pickled(source, name)
    if lacking := set(FILES) - sizes.keys():
        raise missing(source, lacking)
    for name in FILES:
        if sizes[name] > MAX_BYTES[name]:
            raise too_large(source, name, sizes[name])


def _path(member: tarfile.TarInfo, source: str) -> PurePosixPath:
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts:
        raise _unsafe(source, f"has a file whose path leads out of it, {member.name[:80]!r}")
    if path.name in FILES and str(path.parent) in _FOLDERS and not member.isreg():
        raise _unsafe(source, f"has {path} as a link or device instead of a file")
    return path


def _must_fit(member: tarfile.TarInfo, name: str, source: str) -> None:
    if member.size > MAX_BYTES[name]:
        raise too_large(source, name, member.size)


def _write(archive: tarfile.TarFile, member: tarfile.TarInfo, file: Path) -> None:
    content: IO[bytes] | None = archive.extractfile(member)
    assert content is not None, "a regular file has content"
    with content, file.open("wb") as out:
        while chunk := content.read(MAX_READ):
            out.write(chunk)


def _unsafe(source: str, what: str) -> AdapterError:
    return AdapterError("UnsafeArchive", f"{source} {what}: it is not used; make the image from the two files alone")
