"""An image at its registry: nothing is sent that is there, and no tag is moved that has other content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import requests

from presets.image_reference import ImageReference, parse_image
from presets.tuning_job import TuningProgress
from serving.oci.client import RegistryClient
from serving.weights.space import human
from tuning.errors import TuningError
from tuning.progress import Say
from tuning.publishing.image import MANIFEST_TYPE, AdapterImage

KEY_ANNOTATION = "dev.modelyard.tuning.key"
"""Of an image: the digest of all that its adapter was trained from."""


def reference_of(image: str) -> ImageReference:
    """Raises TuningError (OutputInvalid): a tag is what is written, so a digest is no place for an image."""
    reference = parse_image(image)
    if reference is None or reference.tag is None:
        raise TuningError("OutputInvalid", f"{image} is no image with a tag: write registry/repository:tag")
    return reference


def must_take_pushes(reference: ImageReference) -> None:
    """Ask the registry whether this login may push. Raises TuningError."""
    with closing(RegistryClient(reference)) as registry, _told(reference):
        registry.cancel_upload(registry.begin_upload())


def must_be_free(reference: ImageReference, key: str) -> None:
    """Raise TuningError (TagExists) where the tag is there and not of the training with this key."""
    with closing(RegistryClient(reference)) as registry, _told(reference):
        there = _manifest_at(registry, str(reference.tag))
    if there is not None and (there.content.get("annotations") or {}).get(KEY_ANNOTATION) != key:
        raise _exists(reference, there.digest)


def push(image: AdapterImage, reference: ImageReference, overwrite: bool, say: Say) -> str:
    """The digest of the manifest that the tag has now; the same adapter, measured otherwise, is left as it is.

    Raises TuningError: TagExists, PushUnauthorized, PushFailed, RegistryUnreachable.
    """
    tag = str(reference.tag)
    with closing(RegistryClient(reference)) as registry, _told(reference):
        there = _manifest_at(registry, tag)
        if there is not None and there.content.get("layers") == image.layers:
            say(TuningProgress(phase="publishing", message=f"{reference} is there already"))
            return there.digest
        if there is not None and not overwrite:
            raise _exists(reference, there.digest)
        for digest, content in image.blobs.items():
            if not registry.has_blob(digest):
                say(TuningProgress(phase="publishing", message=f"pushing {human(len(content))} to {reference}"))
                registry.upload(digest, content)
        # Somebody else may have pushed meanwhile.
        other = None if overwrite else _manifest_at(registry, tag)
        if other is not None:
            raise _exists(reference, other.digest)
        registry.put_manifest(tag, MANIFEST_TYPE, image.manifest)
        found = _manifest_at(registry, tag)
    if found is None or found.digest != image.digest:
        raise TuningError(
            "PushFailed", f"{reference} is not what was pushed ({image.digest}): somebody else pushes to this tag"
        )
    return image.digest


@dataclass(frozen=True, kw_only=True)
class _Manifest:
    digest: str
    content: Mapping[str, Any]


def _manifest_at(registry: RegistryClient, tag: str) -> _Manifest | None:
    try:
        with registry.manifest(tag) as response:
            raw = response.content
    except requests.HTTPError as error:
        if error.response is not None and error.response.status_code == 404:
            return None
        raise
    return _Manifest(digest=f"sha256:{hashlib.sha256(raw).hexdigest()}", content=json.loads(raw))


def _exists(reference: ImageReference, there: str) -> TuningError:
    return TuningError(
        "TagExists",
        f"{reference} has other content already ({there[:19]}): write another tag, or tuning.output.overwrite: true",
    )


@contextmanager
def _told(reference: ImageReference) -> Iterator[None]:
    registry = reference.registry
    try:
        yield
    except requests.HTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        if status in (401, 403):
            raise TuningError(
                "PushUnauthorized",
                f"{registry} does not let this login push to {reference.repository} (HTTP {status}): run docker login "
                f"{registry} as the user that Ray runs as, with a login that may push",
            ) from None
        raise TuningError("PushFailed", f"{registry} answers HTTP {status} to the push of {reference}") from None
    except requests.RequestException as error:
        raise TuningError(
            "RegistryUnreachable",
            f"{registry} cannot be reached or broke off ({type(error).__name__}): check its name, the network and the "
            "proxy settings",
        ) from error
