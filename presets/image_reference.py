"""References to OCI images, in the grammar that docker pull takes."""

from __future__ import annotations

import re
from dataclasses import dataclass

DOCKER_HUB = "docker.io"

# The grammar of github.com/distribution/reference, regexp.go.
_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[0-9A-Fa-f:]+\])"
_PATH = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*"
_TAG = r"(?::(?P<tag>\w[\w.-]{0,127}))?"
_DIGEST = r"(?:@(?P<digest>[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9A-Fa-f]{32,}))?"
_NAMED_IMAGE = re.compile(f"(?P<registry>)(?P<repository>{_PATH}){_TAG}{_DIGEST}", re.ASCII)
_HOSTED_IMAGE = re.compile(rf"(?P<registry>{_HOST}(?::\d+)?)/(?P<repository>{_PATH}){_TAG}{_DIGEST}", re.ASCII)
_IMAGE_ID = re.compile(r"[0-9a-f]{64}")
_MAX_REPOSITORY = 255


@dataclass(frozen=True, kw_only=True)
class ImageReference:
    """A parsed reference; `registry` is a host with its port, docker.io where none is written."""

    registry: str
    repository: str
    tag: str | None = None
    """None with a digest alone; "latest" where neither is written."""
    digest: str | None = None

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.registry}/{self.repository}{tag}" + (f"@{self.digest}" if self.digest else "")


def parse_image(image: str) -> ImageReference | None:
    """The parts of a reference, None if it is none.

    >>> str(parse_image("registry.example.com/adapters/polite:1.0"))
    'registry.example.com/adapters/polite:1.0'
    >>> str(parse_image("me/polite"))
    'docker.io/me/polite:latest'
    """
    first, slash, _ = image.partition("/")
    # As docker does: the first part is a registry if it looks like a host, and otherwise part of the repository's name.
    hosted = bool(slash) and (any(sign in first for sign in ".:") or first == "localhost" or first != first.lower())
    match = (_HOSTED_IMAGE if hosted else _NAMED_IMAGE).fullmatch(image)
    if match is None or _IMAGE_ID.fullmatch(image) or len(image.partition("@")[0]) > _MAX_REPOSITORY:
        return None
    registry, repository = match["registry"] or DOCKER_HUB, match["repository"]
    if registry == DOCKER_HUB and "/" not in repository:
        repository = f"library/{repository}"
    tag = match["tag"] or (None if match["digest"] else "latest")
    return ImageReference(registry=registry, repository=repository, tag=tag, digest=match["digest"])


def image_meant(text: str) -> str | None:
    """The reference in a text that cannot be anything else: one with docker:// before it, or with a registry's host.

    >>> image_meant("docker://me/polite"), image_meant("registry.example.com/polite:1"), image_meant("me/polite")
    ('me/polite', 'registry.example.com/polite:1', None)
    """
    if text.startswith("docker://"):
        return text.removeprefix("docker://")
    host, slash, _ = text.partition("/")
    return text if slash and any(sign in host for sign in ".:") and parse_image(text) is not None else None
