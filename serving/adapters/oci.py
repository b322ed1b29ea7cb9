"""oci: sources: an image that has the files below data/, as KAITO makes it, or an artifact of the two files."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from serving.adapters import archive
from serving.oci.image import Image, Layer
from serving.weights.model import Progress, Report

_MAX_LAYER = 2 * archive.MAX_BYTES[archive.WEIGHTS]


def pull(image: Image, digest: str, into: Path, report: Report) -> None:
    """Write the adapter's two files. Raises AdapterError and WeightsError."""
    _Pull(image, report).files(image.layers(digest), into)


class _Pull:
    def __init__(self, image: Image, report: Report) -> None:
        self._image = image
        self._report = report

    def files(self, layers: Sequence[Layer], into: Path) -> None:
        found = self._titled(layers, into) or self._unpacked(layers, into)
        if lacking := set(archive.FILES) - found:
            raise archive.missing(self._image.source, lacking)

    def _titled(self, layers: Sequence[Layer], into: Path) -> set[str]:
        """The files of an artifact, of which each layer is one file and says its name."""
        named = {Path(layer.file).name: layer for layer in layers}
        if not named.keys() & set(archive.FILES):
            return set()
        archive.must_be_usable(self._image.source, {name: layer.size for name, layer in named.items()})
        for name in archive.FILES:
            self._fetch(named[name], into / name)
        return set(archive.FILES)

    def _unpacked(self, layers: Sequence[Layer], into: Path) -> set[str]:
        """The files of an image; those of a later layer stand over those of an earlier one."""
        found: set[str] = set()
        for layer in layers:
            if layer.size > _MAX_LAYER:
                raise archive.too_large(self._image.source, archive.WEIGHTS, layer.size)
            with tempfile.NamedTemporaryFile(dir=into.parent, prefix="layer-") as file:
                self._fetch(layer, Path(file.name))
                found |= archive.extract(Path(file.name), into, self._image.source)
        return found

    def _fetch(self, layer: Layer, file: Path) -> None:
        message = f"fetching {self._image.source}"
        self._image.fetch(
            layer, file, lambda done: self._report(Progress(message=message, done=done, total=layer.size))
        )
