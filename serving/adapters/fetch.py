"""From a source to a directory with an adapter's two files, which nobody changes any more.

The cache is that of the weights (serving.weights.cache), in a folder of its own: one entry a content at its source,
made by one process at a time. What a tag or a branch names is asked every time.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import oras

from presets.adapter_source import AdapterSource
from presets.image_reference import ImageReference
from presets.weights_source import WeightsSource
from serving.adapters import archive, oci
from serving.adapters.errors import AdapterError, of_weights
from serving.oci.image import Image
from serving.weights import WeightsError, cache, manifest
from serving.weights.cache import Entry
from serving.weights.latest import Latest
from serving.weights.manifest import Manifest
from serving.weights.model import Report

_Fill = Callable[[Path], None]


@dataclass(frozen=True, kw_only=True)
class FetchedAdapter:
    """An adapter on this machine."""

    path: Path
    digest: str
    """`sha256:HEX` over the two files, wherever they came from."""


def default_directory() -> Path:
    """Beside the cache of weights; $MODELYARD_CACHE moves both."""
    return cache.default_directory().with_name("adapters")


def fetch(source: AdapterSource, cache_dir: Path, report: Report) -> FetchedAdapter:
    """The adapter as its source has it now. Raises AdapterError; `report` is called from this thread."""
    try:
        if isinstance(source.at, ImageReference):
            with Image(source.at) as image:
                return _from_registry(source.at, image, cache_dir, report)
        if source.at.kind == "file":
            return _from_directory(source.at, cache_dir, report)
        return _from_hub(source.at, cache_dir, report)
    except WeightsError as error:
        raise of_weights(error) from error


def _from_registry(reference: ImageReference, image: Image, cache_dir: Path, report: Report) -> FetchedAdapter:
    source = f"oci:{reference}"
    latest = Latest(cache_dir, source)
    digest = latest.or_else(image.digest, gone="WeightsNotFound")
    key = f"oci:{reference.registry}/{reference.repository}@{digest}"
    entry = Entry(cache_dir, "oci", reference.repository, key)
    fetched = _entry(entry, source, lambda making: oci.pull(image, digest, making, report), report)
    latest.write(digest)
    return fetched


def _from_hub(source: WeightsSource, cache_dir: Path, report: Report) -> FetchedAdapter:
    from serving.adapters import hub  # reads the HF_ variables when it is imported, so not before it is needed

    latest = Latest(cache_dir, str(source))
    # The hub does not tell a stranger a private repository from none, so that nothing says that it is gone.
    commit = latest.or_else(lambda: hub.commit_of(source))
    entry = Entry(cache_dir, "hf", source.target, f"hf:{source.target}@{commit}")
    fetched = _entry(entry, str(source), lambda making: hub.download(source, commit, making, report), report)
    latest.write(commit)
    return fetched


def _from_directory(source: WeightsSource, cache_dir: Path, report: Report) -> FetchedAdapter:
    """A copy: what lies in a directory may change while requests are answered with it."""
    root = Path(source.target)
    if not root.is_dir():
        raise AdapterError(
            "AdapterNotFound",
            f"{source}: there is no such directory on the machine where the model runs: correct the path, or put the "
            "adapter there",
        )
    try:
        found = list(root.iterdir())
        for path in found:
            # A pipe would be read for ever, and so would /dev/zero.
            if path.name in archive.FILES and path.exists() and not path.is_file():
                raise AdapterError(
                    "AdapterUnreadable", f"{source}: {path.name} is no plain file: put the adapter's own file there"
                )
        archive.must_be_usable(str(source), {path.name: path.stat().st_size for path in found})
        digests = [manifest.sha256_of(root / name) for name in archive.FILES]
    except PermissionError as error:
        raise AdapterError("AdapterNotFound", f"{source} cannot be read ({error.strerror}): change its mode") from error

    def copy(making: Path) -> None:
        for name in archive.FILES:
            shutil.copyfile(root / name, making / name)

    return _entry(Entry(cache_dir, "file", root.name, "\n".join(digests)), str(source), copy, report)


def _entry(entry: Entry, source: str, fill: _Fill, report: Report) -> FetchedAdapter:
    def build(making: Path) -> Manifest:
        fill(making)
        return manifest.record(source, {"oras": oras.__version__}, making, archive.FILES)

    found = entry.get_or_make(build, report)
    return FetchedAdapter(path=found.path, digest=found.digest)
