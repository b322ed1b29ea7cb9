"""What is wrong with a reference to an OCI image."""

from __future__ import annotations

import re

from components.planning.errors import Problem
from components.planning.place import Place, shown
from presets.image_reference import parse_image

ALLOWED = "an image reference: registry/repository:tag, the repository in lower case"

_PLACEHOLDER = re.compile(r"_HERE\b|[<>]|\bYOUR_")


def image_problems(image: str | None, place: Place) -> list[Problem]:
    """What is wrong with the field image below `place`; an empty one counts as absent, as in Go."""
    if not image or parse_image(image) is not None:
        return []
    return [place.at("image").problem(found=shown(image), allowed=ALLOWED, do=image_hint(image))]


def image_hint(image: str) -> str:
    """What to do about a text that is no reference."""
    plain = re.sub(r"^\w+://", "", image.strip())
    first, slash, rest = plain.partition("/")
    lower = first + slash + rest.lower()
    if _PLACEHOLDER.search(image):
        return "this is a placeholder: put your own registry, repository and tag in its place"
    for suggestion in (plain, lower):
        if suggestion != image and parse_image(suggestion) is not None:
            return f"write {suggestion}"
    return "write it as docker pull takes it, such as myregistry.azurecr.io/phi-3-adapter:0.0.1"
