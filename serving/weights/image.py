"""oci: sources: an image with a model somewhere in its layers, or an artifact that is its files.

What is on its way lies in <cache>/.blobs/<entry>/ until the entry is made, so that a process that was killed is
continued by the next one.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

import oras

from presets.weights_source import WeightsSource
from serving.oci.image import Image, Layer
from serving.oci.layer import unsafe
from serving.weights import checkpoint, image_tree, manifest, remote_code, space
from serving.weights.cache import Entry
from serving.weights.errors import WeightsError
from serving.weights.image_tree import ImageTree
from serving.weights.latest import Latest
from serving.weights.manifest import Manifest
from serving.weights.model import Progress, Report, ResolvedWeights
from serving.weights.unpacked import several_models, take_model, topmost


def resolve(source: WeightsSource, cache: Path, report: Report) -> ResolvedWeights:
    """Fetch the model of the image that the tag names now; where its registry does not answer, the one fetched last.

    Raises WeightsError: WeightsNotFound (no such image, no model in it, several), Unauthorized, DownloadFailed,
    WeightsCorrupt, UnsafeArchive, PickleRefused, RemoteCodeRefused, NoSpace, and what conversion raises.
    """
    reference = source.image
    latest = Latest(cache, str(source))
    with Image(reference) as image:
        digest = latest.or_else(image.digest, gone="WeightsNotFound")
        slug = "-".join(filter(None, (reference.repository, reference.tag)))
        entry = Entry(cache, "oci", slug, f"oci:{reference.registry}/{reference.repository}@{digest}")
        blobs = cache / ".blobs" / entry.name

        def build(making: Path) -> Manifest:
            blobs.mkdir(parents=True, exist_ok=True)
            made = _Pull(image, blobs, report).into(making, digest)
            shutil.rmtree(blobs)
            return made

        resolved = entry.get_or_make(build, report)
    latest.write(digest)
    return resolved


class _Pull:
    """One manifest's content on its way into an entry."""

    def __init__(self, image: Image, blobs: Path, report: Report) -> None:
        self._image = image
        self._blobs = blobs
        self._report = report
        self._done = 0
        self._total = 0

    def into(self, making: Path, digest: str) -> Manifest:
        source = self._image.source
        self._report(Progress(message=f"fetching {source} ({digest[:19]})"))
        layers = self._image.layers(digest)
        tree = ImageTree(making / ".image", source)
        archives = [layer for layer in layers if not layer.file]
        files = {_path(layer, source): layer for layer in layers if layer.file}
        if archives:
            self._unpack(archives, tree)
            self._place({path: layer for path, layer in files.items() if image_tree.is_wanted(path)}, tree)
            tree.refuse_links()
        else:
            self._place_model(files, tree)
        versions = take_model(tree.root, making, source, self._report, left_out=tree.left_out)
        shutil.rmtree(tree.root)
        names = checkpoint.inspect(making, source).names
        created_by = {"oras": oras.__version__, "manifest": digest} | versions
        return manifest.record(source, created_by, making, names, report=self._report)

    def _unpack(self, archives: Sequence[Layer], tree: ImageTree) -> None:
        """One after the other, so that the disk holds one archive beside the files at most."""
        sizes = [layer.size for layer in archives]
        self._total = sum(sizes)
        need = self._missing(archives) + max(sizes)
        space.require(self._blobs, need, f"fetching and unpacking {self._image.source}")
        for layer in archives:
            blob = self._fetched(layer)
            self._report(Progress(message=f"unpacking {layer.digest[:19]} of {self._image.source}", total=layer.size))
            tree.add(blob, layer.size)
            blob.unlink()

    def _place_model(self, files: dict[PurePosixPath, Layer], tree: ImageTree) -> None:
        """Of an artifact its small files first: they tell which weights are needed, and whether they are wanted."""
        root = _model_folder(files, self._image.source)
        beside = {path.relative_to(root).as_posix(): path for path in files if path.is_relative_to(root)}
        small = [name for name in beside if any(_matches(name, pattern) for pattern in checkpoint.SIDE_FILES)]
        self._place({beside[name]: files[beside[name]] for name in small}, tree)
        folder = tree.root / root
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / "config.json").exists():
            remote_code.refuse(folder, self._image.source, trusted=False)
        weights = checkpoint.weights_among(set(beside), folder, self._image.source)
        if lacking := [name for name in weights if name not in beside]:
            raise WeightsError(
                "WeightsNotFound",
                f"{self._image.source}: {checkpoint.INDEX} names {lacking[0]}, which is not in it: push it again with "
                "all files",
            )
        self._place({beside[name]: files[beside[name]] for name in weights}, tree)

    def _place(self, files: dict[PurePosixPath, Layer], tree: ImageTree) -> None:
        self._total += sum(layer.size for layer in files.values())
        space.require(self._blobs, self._missing(files.values()), f"fetching {self._image.source}")
        for path, layer in files.items():
            tree.place(self._fetched(layer), path)

    def _missing(self, layers: Iterable[Layer]) -> int:
        """Bytes that an earlier process has not left here."""
        there = ((layer, self._blob(layer)) for layer in layers)
        return sum(layer.size - (blob.stat().st_size if blob.exists() else 0) for layer, blob in there)

    def _blob(self, layer: Layer) -> Path:
        return self._blobs / layer.digest.replace(":", "-")

    def _fetched(self, layer: Layer) -> Path:
        """The layer's bytes in a file; no second time if they are there and right."""
        blob = self._blob(layer)
        self._image.fetch(layer, blob, self._telling())
        self._done += layer.size
        return blob

    def _telling(self) -> Callable[[int], None]:
        before, message = self._done, f"fetching {self._image.source}"
        return lambda done: self._report(Progress(message=message, done=before + done, total=self._total))


def _path(layer: Layer, source: str) -> PurePosixPath:
    """Where an artifact's file belongs; what was pushed by an absolute path lies below the root as well."""
    path = PurePosixPath(layer.file)
    if ".." in path.parts or "\0" in layer.file:
        raise unsafe(source, f"has a file whose path leads out of it, {layer.file[:80]!r}")
    return path.relative_to(path.anchor)


def _model_folder(files: Iterable[PurePosixPath], source: str) -> PurePosixPath:
    """The folder of an artifact's model: the topmost with weights, otherwise with a config. Raises WeightsError for
    several."""
    for wanted in ((checkpoint.SINGLE, checkpoint.INDEX), ("*.gguf",), ("config.json",)):
        folders = topmost({path.parent for path in files if any(fnmatch(path.name, pattern) for pattern in wanted)})
        if len(folders) > 1:
            raise several_models(source, [str(folder) for folder in folders])
        if folders:
            return folders[0]
    return PurePosixPath()


def _matches(name: str, pattern: str) -> bool:
    return name.count("/") == pattern.count("/") and fnmatch(name, pattern)
