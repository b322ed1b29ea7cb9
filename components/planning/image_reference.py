"""References to OCI images, in the grammar that docker pull takes."""

from __future__ import annotations

import re

from components.planning.errors import Problem
from components.planning.place import Place, shown

# The grammar of github.com/distribution/reference, regexp.go.
_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[0-9A-Fa-f:]+\])"
_PATH = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*"
_TAG = r"(?::\w[\w.-]{0,127})?"
_DIGEST = r"(?:@[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9A-Fa-f]{32,})?"
_NAMED_IMAGE = re.compile(f"{_PATH}{_TAG}{_DIGEST}", re.ASCII)
_HOSTED_IMAGE = re.compile(rf"{_HOST}(?::\d+)?/{_PATH}{_TAG}{_DIGEST}", re.ASCII)
_IMAGE_ID = re.compile(r"[0-9a-f]{64}")
_MAX_REPOSITORY = 255
_PLACEHOLDER = re.compile(r"_HERE\b|[<>]|\bYOUR_")


def image_problems(image: str | None, place: Place) -> list[Problem]:
    """What is wrong with the field image below `place`; an empty one counts as absent, as in Go."""
    if not image or _is_image(image):
        return []
    return [
        place.at("image").problem(
            found=shown(image),
            allowed="an image reference: registry/repository:tag, the repository in lower case",
            do=_image_hint(image),
        )
    ]


def _is_image(image: str) -> bool:
    first, slash, _ = image.partition("/")
    # As docker does: the first part is a registry if it looks like a host, and otherwise part of the repository's name.
    hosted = bool(slash) and (any(sign in first for sign in ".:") or first == "localhost" or first != first.lower())
    grammar = _HOSTED_IMAGE if hosted else _NAMED_IMAGE
    if grammar.fullmatch(image) is None or _IMAGE_ID.fullmatch(image):
        return False
    return len(image.partition("@")[0]) <= _MAX_REPOSITORY


def _image_hint(image: str) -> str:
    plain = re.sub(r"^\w+://", "", image.strip())
    first, slash, rest = plain.partition("/")
    lower = first + slash + rest.lower()
    if _PLACEHOLDER.search(image):
        return "this is a placeholder: put your own registry, repository and tag in its place"
    for suggestion in (plain, lower):
        if suggestion != image and _is_image(suggestion):
            return f"write {suggestion}"
    return "write it as docker pull takes it, such as myregistry.azurecr.io/phi-3-adapter:0.0.1"
