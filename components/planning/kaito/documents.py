"""YAML files as kubectl reads them: several documents, lists of objects, no key twice; each document on its own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from components.planning.kaito.findings import Findings
from components.planning.place import Place, shown
from components.planning.yaml_text import YamlError, read_yaml

_MARKER = re.compile(r"^---(?=\s|$)", re.MULTILINE)
_NOTHING_YET = re.compile(r"(?:[ \t]*(?:#[^\n]*)?\n|%[^\n]*\n)*")


@dataclass(frozen=True, kw_only=True)
class ManifestFile:
    """One file. `path` is as it is shown to people; `error` is why there is no text, where it could not be read."""

    path: str
    text: str
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class Document:
    """One object of Kubernetes, without its fields that are null, which Kubernetes takes as absent."""

    file: str
    line: int
    content: dict[str, Any]

    @property
    def api_version(self) -> object:
        return self.content.get("apiVersion")

    @property
    def kind(self) -> object:
        return self.content.get("kind")

    @property
    def metadata(self) -> Mapping[str, Any]:
        metadata = self.content.get("metadata")
        return cast("Mapping[str, Any]", metadata) if isinstance(metadata, Mapping) else {}

    @property
    def name(self) -> str:
        """metadata.name, or "" where there is none that can be read."""
        name = self.metadata.get("name")
        return name if isinstance(name, str) else ""

    @property
    def namespace(self) -> str:
        """metadata.namespace, or "" where kubectl would take the current one."""
        namespace = self.metadata.get("namespace")
        return namespace if isinstance(namespace, str) else ""

    @property
    def place(self) -> Place:
        what = self.kind if isinstance(self.kind, str) else "document"
        return Place(f"{self.file}: {what} {self.name or f'at line {self.line}'}", self.name)


def documents(file: ManifestFile, findings: Findings) -> list[Document]:
    """Every object of a file, those of lists included. What cannot be read is a finding and hides no other document."""
    found: list[Document] = []
    if file.error:
        allowed, do = "a YAML file that can be read", "correct the file, or leave it out of modelyard:manifests"
        findings.refuse(Place(file.path), found=file.error, allowed=allowed, do=do)
    for line, text in _parts(file.text):
        content = _load(file, line, text, findings)
        if content is not None:
            found += _objects(Document(file=file.path, line=line, content=content), findings)
    return found


def _parts(text: str) -> Iterator[tuple[int, str]]:
    """The documents' texts, each with the number of its first line. Comments in front belong to what follows."""
    starts = [match.start() for match in _MARKER.finditer(text)]
    if not starts or _NOTHING_YET.fullmatch(text[: starts[0]]) is None:
        starts.insert(0, 0)
    else:
        starts[0] = 0
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        yield text.count("\n", 0, start) + 1, text[start:end]


def _load(file: ManifestFile, first_line: int, text: str, findings: Findings) -> dict[str, Any] | None:
    try:
        content = _plain(read_yaml(text))
    except YamlError as error:
        document = f"{file.path}: document at line {first_line}"
        place = document if error.line is None else f"{file.path}: line {first_line + error.line - 1}"
        do = "render the template first: helm template" if "{{" in text else error.do
        findings.refuse(Place(place), found=str(error), allowed="YAML", do=do)
        return None
    if content is None or isinstance(content, dict):
        return cast("dict[str, Any] | None", content)
    findings.refuse(
        Place(f"{file.path}: document at line {first_line}"),
        found=_kind_of(content),
        allowed="a map with apiVersion, kind and metadata",
        do="write one object a document, with --- between them",
    )
    return None


def _plain(value: object) -> object:
    """The value as JSON has it: keys are text, and what is null in a map is absent."""
    match value:
        case Mapping():
            items = cast("Mapping[object, object]", value).items()
            return {_key(key): _plain(item) for key, item in items if item is not None}
        case list():
            return [_plain(item) for item in cast("list[object]", value)]
        case _:
            return value


def _kind_of(value: object) -> str:
    """What a value is, without text that may be a password."""
    return "text" if isinstance(value, str) else shown(value)


def _key(key: object) -> str:
    return str(key).lower() if isinstance(key, bool) else str(key)


def _objects(document: Document, findings: Findings) -> Iterator[Document]:
    """The document, or the items of a list: kind List, or a WorkspaceList as `kubectl get --raw` prints it."""
    kind, items = document.kind, document.content.get("items")
    if not (isinstance(kind, str) and kind.endswith("List") and isinstance(items, list)):
        yield document
        return
    inherited = {} if kind == "List" else {"apiVersion": document.api_version, "kind": kind.removesuffix("List")}
    for index, item in enumerate(cast("list[object]", items)):
        if isinstance(item, Mapping):
            content = inherited | cast("dict[str, Any]", item)
            yield from _objects(Document(file=document.file, line=document.line, content=content), findings)
        else:
            findings.refuse(
                document.place.at("items", index),
                found=_kind_of(item),
                allowed="an object with apiVersion, kind and metadata",
                do="remove it",
            )
