"""One image or artifact at its registry. Sizes and digests are checked while the pieces come: it is not believed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, cast

import requests

from presets.image_reference import ImageReference
from serving.oci.client import RegistryClient
from serving.oci.download import Download, NotAsTold, Told, hasher
from serving.weights import space
from serving.weights.errors import WeightsError

_TITLE = "org.opencontainers.image.title"
_UNPACK = "io.deis.oras.content.unpack"
_PACKED = "application/vnd.oci.image.layer.v1.tar+gzip"
"""How oras tells that a layer with a title is a folder, packed: its Go program by the one, its Python package by the
other. Files have the media type .tar with both."""
_MAX_MANIFEST = 4 * 2**20
"""What registries accept at most."""


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One of an image's blobs, as its manifest describes it; `size` in bytes."""

    digest: str
    size: int
    file: str
    """The path of the one file that it is, as artifacts have them; "" for an archive."""


class Image:
    """For a with block, which closes the connection. Every method may raise WeightsError: DownloadFailed, Unauthorized,
    WeightsNotFound where the registry has no such image, WeightsCorrupt where it is none."""

    def __init__(self, reference: ImageReference) -> None:
        self._reference = reference
        self.source = f"oci:{reference}"
        self._registry = RegistryClient(reference)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._registry.close()

    def digest(self) -> str:
        """The digest of the manifest that the reference names now; where it is written there, that, unasked."""
        if self._reference.digest:
            return self._reference.digest
        raw = self._manifest(str(self._reference.tag))
        return f"sha256:{hashlib.sha256(raw).hexdigest()}"

    def layers(self, digest: str) -> list[Layer]:
        """Of the manifest of a digest; of an index those of the image chosen from it."""
        manifest = self._parsed(self._manifest(digest))
        if images := manifest.get("manifests"):
            manifest = self._parsed(self._manifest(self._chosen(images)))
        return [self._layer(each) for each in cast("Sequence[Mapping[str, Any]]", manifest.get("layers") or ())]

    def fetch(self, layer: Layer, file: Path, told: Told) -> None:
        """Have a layer's bytes in a file, of which the beginning may be there already, as an earlier call has left it.

        Raises NoSpace before it begins, too.
        """
        there = file.stat().st_size if file.exists() else 0
        space.require(file.parent, max(0, layer.size - there), f"fetching {self.source}")
        try:
            with self._told(), space.told(file.parent, f"fetching {self.source}"):
                Download(self._registry, layer.digest, layer.size, file, told).run()
        except NotAsTold as wrong:
            raise WeightsError(
                "DownloadFailed",
                f"{self.source}: what came of {layer.digest[:19]} is not what its manifest says ({wrong.done} of "
                f"{layer.size} bytes): fetch it again, and if it stays so, push it again",
            ) from None

    def _manifest(self, reference: str) -> bytes:
        with self._told(), self._registry.manifest(reference) as response:
            raw = response.raw.read(_MAX_MANIFEST + 1, decode_content=True)
        if len(raw) > _MAX_MANIFEST:
            raise self._unreadable(f"its manifest is larger than {space.human(_MAX_MANIFEST)}")
        if ":" in reference:
            found = self._hasher(reference)
            found.update(raw)
            if f"{found.name}:{found.hexdigest()}" != reference.lower():
                raise WeightsError("DownloadFailed", f"{self.source}: the registry sent another manifest: try again")
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
        """Of an index: the files are the same on every platform, so the first that is an image and no attestation."""
        for image in images:
            if (image.get("platform") or {}).get("os") != "unknown":
                return str(image.get("digest"))
        raise self._unreadable("its index names no image")

    def _layer(self, described: Mapping[str, Any]) -> Layer:
        size, digest = described.get("size"), str(described.get("digest"))
        if not isinstance(size, int) or size < 0:
            raise self._unreadable("a layer has no size")
        self._hasher(digest)
        annotations = cast("Mapping[str, Any]", described.get("annotations") or {})
        is_packed = str(annotations.get(_UNPACK, "")).lower() == "true" or described.get("mediaType") == _PACKED
        return Layer(digest=digest, size=size, file="" if is_packed else str(annotations.get(_TITLE, "")))

    def _hasher(self, digest: str) -> hashlib._Hash:
        found = hasher(digest)
        if found is None:
            raise self._unreadable(f"its digest {digest[:40]!r} is neither sha256 nor sha512")
        return found

    def _unreadable(self, what: str) -> WeightsError:
        return WeightsError("WeightsCorrupt", f"{self.source} is no image that can be read, {what}: push it again")

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn what a registry answers, or that it does not, into ours."""
        source, registry = self.source, self._reference.registry
        try:
            yield
        except requests.HTTPError as error:
            status = error.response.status_code if error.response is not None else 0
            if status in (401, 403):
                raise WeightsError(
                    "Unauthorized",
                    f"{source}: {registry} refuses it (HTTP {status}): run docker login {registry} as the user that "
                    "Ray runs as, or set DOCKER_CONFIG to a directory with its config.json; on a cluster name the "
                    "Secret with the login in imagePullSecrets",
                ) from None
            if status == 404:
                raise WeightsError(
                    "WeightsNotFound", f"{source}: {registry} has no such image: correct the name or the tag"
                ) from None
            raise WeightsError("DownloadFailed", f"{source}: {registry} answered HTTP {status}: try later") from None
        except requests.RequestException as error:
            raise WeightsError(
                "DownloadFailed",
                f"{source}: {registry} cannot be reached or broke off ({type(error).__name__}): check the name, the "
                "network and the proxy settings",
            ) from error
