"""file: sources. A checkpoint is used where it lies; a GGUF file is converted into the cache."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from presets.weights_source import WeightsSource
from serving.weights import checkpoint, gguf, manifest
from serving.weights.cache import Entry
from serving.weights.errors import WeightsError
from serving.weights.manifest import Manifest
from serving.weights.model import Report, ResolvedWeights

SAMPLES = 16
SAMPLE_BYTES = 64 * 1024


def resolve(source: WeightsSource, cache: Path, report: Report) -> ResolvedWeights:
    """Check the directory, reading only headers and samples of the weights.

    Raises WeightsError: WeightsNotFound, WeightsCorrupt, PickleRefused (see checkpoint.inspect), and what conversion
    raises.
    """
    root = Path(source.target)
    _must_be_readable(root, str(source))
    ggufs = checkpoint.gguf_files(root)
    if ggufs and not checkpoint.has_safetensors(root):
        return _converted(checkpoint.the_one(ggufs, str(source)), source, cache, report)
    found = checkpoint.inspect(root, str(source))
    size = sum((root / name).stat().st_size for name in found.names)
    return ResolvedWeights(path=root, digest=sampled_digest(root, found.names), bytes=size)


def sampled_digest(root: Path, names: Iterable[str]) -> str:
    """`sampled-sha256:HEX` over names, sizes and up to 1 MiB of each file, in 16 evenly spaced samples.

    Tells one model from another in milliseconds however large they are; it is no proof that every byte is intact.
    """
    digest = hashlib.sha256()
    for name in sorted(names):
        with (root / name).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            digest.update(f"{name}\n{size}\n".encode())
            if size <= SAMPLES * SAMPLE_BYTES:
                digest.update(file.read())
                continue
            for sample in range(SAMPLES):
                file.seek((size - SAMPLE_BYTES) * sample // (SAMPLES - 1))
                digest.update(file.read(SAMPLE_BYTES))
    return "sampled-sha256:" + digest.hexdigest()


def _converted(file: Path, source: WeightsSource, cache: Path, report: Report) -> ResolvedWeights:
    def build(making: Path) -> Manifest:
        created_by = gguf.convert(file, making, str(source), report)
        found = checkpoint.inspect(making, str(source))
        return manifest.record(str(source), created_by, making, found.names, report=report)

    key = f"{source}\n{sampled_digest(file.parent, [file.name])}"
    return Entry(cache, "file", file.stem, key).get_or_make(build, report)


def _must_be_readable(root: Path, source: str) -> None:
    if not root.exists():
        raise WeightsError(
            "WeightsNotFound",
            f"{source}: there is no such directory on the machine where the model runs: correct the path, or put the "
            "model there",
        )
    if not root.is_dir():
        raise WeightsError("WeightsNotFound", f"{source} is a file: a file: source names the directory it is in")
    if os.access(root, os.R_OK) and not any(root.iterdir()):
        raise WeightsError(
            "WeightsNotFound",
            f"{source} is empty: put the model there; if it is the volume of an image, the cluster mounts no images: "
            "set modelyard:kubernetes.imageVolumes: false",
        )
    if not os.access(root, os.R_OK | os.X_OK):
        raise WeightsError("WeightsNotFound", f"{source} cannot be read by user id {os.getuid()}: change its mode")
