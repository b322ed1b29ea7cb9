"""oci: sources: an image whose layer has the files below data/, as KAITO makes it, or an artifact with the two files.

Sizes and digests are checked while the pieces come: a registry is not believed.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, cast

import requests

from presets.image_reference import ImageReference
from serving.adapters import archive
from serving.adapters.errors import AdapterError
from serving.adapters.oci_client import RegistryClient
from serving.weights import space
from serving.weights.model import Progress, Report

_TITLE = "org.opencontainers.image.title"
_MAX_MANIFEST = 4 * 2**20
"""What registries accept at most."""
_MAX_LAYER = 2 * archive.MAX_BYTES[archive.WEIGHTS]
_CHUNK = 2**20


class Image:
    """One image at its registry; for a with block, which closes the connection."""

    def __init__(self, reference: ImageReference, report: Report) -> None:
        self._reference = reference
        self._source = f"oci:{reference}"
        self._report = report
        self._registry = RegistryClient(reference)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._registry.close()

    def digest(self) -> str:
        """The digest of the manifest that the reference names now; of an index that of the image chosen from it."""
        if self._reference.digest:
            return self._reference.digest
        raw = self._manifest(str(self._reference.tag))
        return f"sha256:{hashlib.sha256(raw).hexdigest()}"

    def pull(self, digest: str, into: Path) -> None:
        """Write the adapter's two files. Raises AdapterError."""
        manifest = self._parsed(self._manifest(digest))
        if images := manifest.get("manifests"):
            manifest = self._parsed(self._manifest(self._chosen(images)))
        layers = cast("Sequence[Mapping[str, Any]]", manifest.get("layers") or ())
        found = self._titled(layers, into) or self._unpacked(layers, into)
        if lacking := set(archive.FILES) - found:
            raise archive.missing(self._source, lacking)

    def _titled(self, layers: Sequence[Mapping[str, Any]], into: Path) -> set[str]:
        """The files of an artifact, of which each layer is one file and says its name."""
        named = {Path(str((layer.get("annotations") or {}).get(_TITLE, ""))).name: layer for layer in layers}
        if not named.keys() & set(archive.FILES):
            return set()
        archive.must_be_usable(self._source, {name: self._size(layer) for name, layer in named.items()})
        for name in archive.FILES:
            self._blob(named[name], into / name)
        return set(archive.FILES)

    def _unpacked(self, layers: Sequence[Mapping[str, Any]], into: Path) -> set[str]:
        """The files of an image; those of a later layer stand over those of an earlier one."""
        found: set[str] = set()
        for layer in layers:
            if (size := self._size(layer)) > _MAX_LAYER:
                raise archive.too_large(self._source, archive.WEIGHTS, size)
            with tempfile.NamedTemporaryFile(dir=into.parent, prefix="layer-") as file:
                self._blob(layer, Path(file.name))
                found |= archive.extract(Path(file.name), into, self._source)
        return found

    def _blob(self, layer: Mapping[str, Any], file: Path) -> None:
        digest, size = str(layer.get("digest")), self._size(layer)
        space.require(file.parent, size, f"fetching {self._source}")
        with self._told(), self._registry.blob(digest) as response, file.open("wb") as out:
            done, hasher = 0, self._hasher(digest)
            for chunk in response.iter_content(_CHUNK):
                done += len(chunk)
                if done > size:
                    break
                hasher.update(chunk)
                out.write(chunk)
                self._report(Progress(message=f"fetching {self._source}", done=done, total=size))
        if done != size or f"{hasher.name}:{hasher.hexdigest()}" != digest.lower():
            raise AdapterError(
                "DownloadFailed",
                f"{self._source}: what came of {digest[:19]} is not what its manifest says ({done} of {size} bytes): "
                "fetch it again, and if it stays so, push it again",
            )

    def _manifest(self, reference: str) -> bytes:
        with self._told(), self._registry.manifest(reference) as response:
            raw = response.raw.read(_MAX_MANIFEST + 1, decode_content=True)
        if len(raw) > _MAX_MANIFEST:
            raise self._unreadable(f"its manifest is larger than {space.human(_MAX_MANIFEST)}")
        if ":" in reference:
            hasher = self._hasher(reference)
            hasher.update(raw)
            if f"{hasher.name}:{hasher.hexdigest()}" != reference.lower():
                raise AdapterError("DownloadFailed", f"{self._source}: the registry sent another manifest: try again")
        return raw

    def _parsed(self, raw: bytes) -> dict[str, Any]:
        try:
            manifest = json.loads(raw)
        except ValueError as error:
            raise self._unreadable(f"its manifest is no JSON ({error})") from None
        if not isinstance(manifest, dict) or not (manifest.get("layers") or manifest.get("manifests")):
            raise self._unreadable("its manifest has no layers")
        return cast("dict[str, Any]", manifest)

    def _chosen(self, images: Sequence[Mapping[str, Any]]) -> str:
        """Of an index: an adapter is the same on every platform, so the first that is an image and no attestation."""
        for image in images:
            if (image.get("platform") or {}).get("os") != "unknown":
                return str(image.get("digest"))
        raise self._unreadable("its index names no image")

    def _size(self, layer: Mapping[str, Any]) -> int:
        size = layer.get("size")
        if not isinstance(size, int) or size < 0:
            raise self._unreadable("a layer has no size")
        return size

    def _hasher(self, digest: str) -> hashlib._Hash:
        algorithm = digest.partition(":")[0].lower()
        if algorithm not in ("sha256", "sha512"):
            raise self._unreadable(f"its digest {digest[:40]!r} is neither sha256 nor sha512")
        return hashlib.new(algorithm)

    def _unreadable(self, what: str) -> AdapterError:
        return AdapterError("AdapterUnreadable", f"{self._source} is no image that can be read, {what}: push it again")

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn what a registry answers, or that it does not, into ours."""
        source, registry = self._source, self._reference.registry
        try:
            yield
        except requests.HTTPError as error:
            status = error.response.status_code if error.response is not None else 0
            if status in (401, 403):
                raise AdapterError(
                    "Unauthorized",
                    f"{source}: {registry} refuses it (HTTP {status}): run docker login {registry} as the user that "
                    "Ray runs as, or set DOCKER_CONFIG to a directory with its config.json",
                ) from None
            if status == 404:
                raise AdapterError(
                    "AdapterNotFound", f"{source}: {registry} has no such image: correct the name or the tag"
                ) from None
            raise AdapterError("DownloadFailed", f"{source}: {registry} answered HTTP {status}: try later") from None
        except requests.RequestException as error:
            raise AdapterError(
                "DownloadFailed",
                f"{source}: {registry} cannot be reached or broke off ({type(error).__name__}): check the name, the "
                "network and the proxy settings",
            ) from error
