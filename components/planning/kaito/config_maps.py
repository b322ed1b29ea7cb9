"""ConfigMaps among the manifests: the one that a Workspace names, and the YAML in its key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from components.planning.kaito.documents import Document
from components.planning.kaito.findings import Findings
from components.planning.place import Place, shown
from components.planning.yaml_text import YamlError, read_yaml
from presets.nearest import nearest

DEFAULT_NAMESPACE = "default"


class ConfigMaps:
    """All ConfigMaps of the files, by name."""

    def __init__(self, documents: Sequence[Document]) -> None:
        self._by_name: dict[str, list[Document]] = {}
        for document in documents:
            self._by_name.setdefault(document.name, []).append(document)
        self.used: set[str] = set()

    def yaml_in(
        self, name: str, key: str, *, namespace: str, place: Place, findings: Findings
    ) -> dict[str, Any] | None:
        """The map that stands as YAML in `key` of the ConfigMap `name`; None with a finding at `place` otherwise."""
        document = self._find(name, namespace, place, findings)
        if document is None:
            return None
        text = self._text(document, key, findings)
        return None if text is None else _parsed(text, document.place.at("data", key), findings)

    def _find(self, name: str, namespace: str, place: Place, findings: Findings) -> Document | None:
        known = self._by_name.get(name, [])
        # kubectl puts what has no namespace into one and the same, whichever that is.
        mine = namespace or DEFAULT_NAMESPACE
        here = [each for each in known if (each.namespace or DEFAULT_NAMESPACE) == mine]
        self.used.add(name)
        if len(here) == 1:
            return here[0]
        if here:
            findings.refuse(
                place,
                found=f'"{name}", which {len(here)} ConfigMaps are called: in {", ".join(each.file for each in here)}',
                allowed="one ConfigMap of this name in a namespace",
                do="rename one, or leave its file out of modelyard:manifests",
            )
        elif known:
            findings.refuse(
                place,
                found=f'"{name}", a ConfigMap in namespace {known[0].namespace or DEFAULT_NAMESPACE}',
                allowed=f"a ConfigMap in the namespace of the Workspace, {mine}",
                do="give both the same metadata.namespace",
            )
        else:
            likely = nearest(name, self._by_name, limit=1)
            findings.refuse(
                place,
                found=f'"{name}", a ConfigMap that is in none of the files',
                allowed="the name of a ConfigMap in the files of modelyard:manifests",
                do=f"did you mean {likely[0]}? Otherwise add its file to modelyard:manifests"
                if likely
                else "add its file to modelyard:manifests",
            )
        return None

    def _text(self, document: Document, key: str, findings: Findings) -> str | None:
        data = document.content.get("data")
        held: Mapping[str, object] = cast("Mapping[str, object]", data) if isinstance(data, Mapping) else {}
        text = held.get(key)
        if isinstance(text, str):
            return text
        if key in held:
            findings.refuse(
                document.place.at("data", key),
                found=shown(text),
                allowed="text that holds YAML",
                do=f"put | after the key, so that what follows is text: {key}: |",
            )
            return None
        likely = nearest(key, held, limit=1)
        findings.refuse(
            document.place.at("data"),
            found=f"the keys {', '.join(held)}" if held else "no keys",
            allowed=f"the key {key}, which KAITO reads",
            do=f"rename {likely[0]} to {key}" if likely else f"add {key}: |",
        )
        return None


def _parsed(text: str, place: Place, findings: Findings) -> dict[str, Any] | None:
    try:
        content = read_yaml(text)
    except YamlError as error:
        where = "" if error.line is None else f"line {error.line} of it: "
        findings.refuse(place, found=f"{where}{error}", allowed="YAML", do=error.do)
        return None
    if content is None:
        return {}
    if not isinstance(content, dict):
        findings.refuse(place, found=shown(content), allowed="a map", do="write its fields as key: value")
        return None
    return cast("dict[str, Any]", content)
