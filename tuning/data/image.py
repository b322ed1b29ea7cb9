"""Data that comes as an OCI image, as KAITO takes it: files below /data. Of an artifact, all its data files."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from presets.image_reference import parse_image
from serving.oci.image import Image, Layer
from serving.oci.layer import LayerArchive, opened, unsafe
from serving.weights.latest import Latest
from serving.weights.space import human
from tuning.data.errors import DataError, room, translated
from tuning.data.files import DataFile, data_below, is_data
from tuning.data.telling import Telling

ROOT = PurePosixPath("data")
_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"
"""Marks of a layer: the file of that name is gone; what earlier layers have in this folder is."""
_MAX_HEADERS = 128 * 2**20
"""Bytes in a layer: the image may be a whole system, of which /data alone is wanted."""
_MAX_GROWTH = 20
"""Times that a layer may be larger when it is decompressed, and one file of the largest size beside that."""


def pull(reference: str, most: int, directory: Path, tell: Telling) -> list[DataFile]:
    """The data files of an image, in the order of their paths, below `directory`/HEX of the manifest's digest; where
    its registry does not answer, those fetched last.

    Raises DataError: DataNotFound, DataUnauthorized, DataUnreachable, DataUnreadable, DataRefused, DataTooLarge,
    NoSpace.
    """
    parsed = parse_image(reference.removeprefix("oci:").removeprefix("docker://"))
    if parsed is None:
        raise DataError(
            "DataNotFound",
            f"tuning.input.image {reference!r} is no reference to an image, such as registry.example.com/data:1",
        )
    directory.mkdir(parents=True, exist_ok=True)
    with translated(), Image(parsed) as image:
        latest = Latest(directory, image.source)
        digest = latest.or_else(image.digest, gone="WeightsNotFound")
        root = directory / digest.rpartition(":")[2][:24]
        if not root.exists():
            tell.now(f"fetching {image.source} ({digest[:19]})")
            making = Path(tempfile.mkdtemp(prefix=".making-", dir=directory))
            try:
                _Pull(image, directory, making, most, tell).run(digest)
                making.rename(root)
            finally:
                shutil.rmtree(making, ignore_errors=True)
        latest.write(digest)
    names = data_below(root)
    if not names:
        raise DataError(
            "DataNotFound",
            f"{image.source} has no csv, json, jsonl, parquet or arrow file below /data: copy the data there and push "
            "it again",
        )
    return [DataFile(path=root / name, name=f"{image.source}/{name}") for name in names]


class _Pull:
    """One manifest's data files on their way below `root`; layers lie in `blobs` until then."""

    def __init__(self, image: Image, blobs: Path, root: Path, most: int, tell: Telling) -> None:
        self._image = image
        self._blobs = blobs
        self._root = root
        self._most = most
        self._tell = tell

    def run(self, digest: str) -> None:
        layers = self._image.layers(digest)
        self._must_be_short([layer for layer in layers if layer.file])
        for layer in layers:
            if layer.file:
                self._place(layer)
            else:
                self._unpack(layer)

    def _place(self, layer: Layer) -> None:
        path = PurePosixPath(layer.file)
        if ".." in path.parts or "\0" in layer.file:
            raise unsafe(self._image.source, f"has a file whose path leads out of it, {layer.file[:80]!r}")
        path = path.relative_to(path.anchor)
        if is_data(path.as_posix()):
            self._fetched(layer).replace(self._made(path))

    def _unpack(self, layer: Layer) -> None:
        blob = self._fetched(layer)
        self._tell.now(f"unpacking {layer.digest[:19]} of {self._image.source}")
        bound = layer.size * _MAX_GROWTH + self._most
        fresh: set[PurePosixPath] = set()
        with opened(blob, self._image.source, max_bytes=bound, max_headers=_MAX_HEADERS) as archive:
            for path, member in archive:
                if path.name.startswith(_WHITEOUT):
                    self._remove(path, fresh)
                elif path.is_relative_to(ROOT) and not member.isdir() and is_data(path.as_posix()):
                    if not member.isreg():
                        raise unsafe(self._image.source, f"has {path} as a link or device instead of a file")
                    fresh.add(path)
                    self._write(archive, path, member.size, member)
        blob.unlink()

    def _write(self, archive: LayerArchive, path: PurePosixPath, size: int, member: object) -> None:
        if size > self._most:
            raise self._too_large(str(path))
        with room(self._root, size, f"unpacking {path} of {self._image.source}"):
            archive.write(member, self._made(path))  # type: ignore[arg-type]

    def _remove(self, mark: PurePosixPath, fresh: set[PurePosixPath]) -> None:
        """What a mark says is gone of earlier layers; `fresh` is what this one has."""
        there = self._root / (mark.parent if mark.name == _OPAQUE else mark.with_name(mark.name[len(_WHITEOUT) :]))
        for file in [*there.rglob("*")] if there.is_dir() else [there]:
            if file.is_file() and PurePosixPath(file.relative_to(self._root)) not in fresh:
                file.unlink()

    def _fetched(self, layer: Layer) -> Path:
        blob = self._blobs / f".{layer.digest.replace(':', '-')}"
        doing = f"fetching {self._image.source}"
        self._image.fetch(layer, blob, lambda done: self._tell.bytes(doing, done, layer.size))
        return blob

    def _must_be_short(self, files: Sequence[Layer]) -> None:
        for layer in files:
            if is_data(layer.file) and layer.size > self._most:
                raise self._too_large(layer.file)

    def _too_large(self, name: str) -> DataError:
        return DataError(
            "DataTooLarge",
            f"{name} of {self._image.source} is larger than {human(self._most)} ({self._most} bytes): split it, or "
            "raise tuning.input.maxGib",
        )

    def _made(self, path: PurePosixPath) -> Path:
        """Where a file belongs, without what an earlier layer has there."""
        target = self._root / path
        for there in (target, *target.parents):
            if there == self._root:
                break
            if there.is_file():
                there.unlink()
        if target.is_dir():
            shutil.rmtree(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        return target
