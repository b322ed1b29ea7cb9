"""The two files of an adapter: in a directory, or in a layer of an image, which is a tar archive."""

from __future__ import annotations

import tarfile
from collections.abc import Collection, Mapping
from fnmatch import fnmatch
from pathlib import Path

from serving.adapters.errors import AdapterError
from serving.engines.adapter_files import CONFIG, WEIGHTS
from serving.oci.layer import opened, unsafe
from serving.weights.checkpoint import PICKLES
from serving.weights.space import human

FILES = (CONFIG, WEIGHTS)

MAX_BYTES = {CONFIG: 2**20, WEIGHTS: 4 * 2**30}
"""Of rank 64, on every projection of a model with 70 billion parameters and in float32, an adapter has 3.1 GiB."""

_FOLDERS = ("data", ".")
"""Where the files may be, in the order of preference; data/ is where KAITO's images have them."""
_MAX_LAYER = 2 * sum(MAX_BYTES.values())
"""Bytes of a layer, decompressed: there may be other files in it."""


def extract(layer: Path, into: Path, source: str) -> set[str]:
    """Write what a layer has of the files into a directory; their names. Nothing else of it is written anywhere.

    Raises AdapterError: AdapterTooLarge, PickledWeights; WeightsError: UnsafeArchive, WeightsCorrupt.
    """
    found: dict[str, int] = {}
    pickles: list[str] = []
    with opened(layer, source, max_bytes=_MAX_LAYER) as archive:
        for path, member in archive:
            if str(path.parent) not in _FOLDERS:
                continue
            if any(path.match(pattern) for pattern in PICKLES):
                pickles.append(path.name)
            if path.name not in FILES:
                continue
            if not member.isreg():
                raise unsafe(source, f"has {path} as a link or device instead of a file")
            if found.get(path.name, 99) > (rank := _FOLDERS.index(str(path.parent))):
                _must_fit(member, path.name, source)
                archive.write(member, into / path.name)
                found[path.name] = rank
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


def _must_fit(member: tarfile.TarInfo, name: str, source: str) -> None:
    if member.size > MAX_BYTES[name]:
        raise too_large(source, name, member.size)
