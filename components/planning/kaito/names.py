"""Which models manifests name, before anything in them is judged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from components.planning.kaito.documents import Document, ManifestFile, documents
from components.planning.kaito.findings import Findings
from components.planning.kaito.read import VERSIONS

_FIELDS_OF = {"Workspace": (), "InferenceSet": ("spec", "template")}
"""Where the fields of a workspace stand, by kind."""


def preset_names(files: Sequence[ManifestFile]) -> tuple[str, ...]:
    """Names of presets in the Workspaces and InferenceSets of the files, sorted, each once.

    Also of those that have mistakes: which models are known must not depend on what else is wrong with a workspace.
    """
    unsaid = Findings()
    found = [document for file in files for document in documents(file, unsaid)]
    return tuple(sorted({name for document in found for name in _names(document)}))


def _names(document: Document) -> Iterator[str]:
    kind = document.kind
    if document.api_version not in VERSIONS or not isinstance(kind, str) or kind not in _FIELDS_OF:
        return
    for parent in ("inference", "tuning"):
        value: object = document.content
        for step in (*_FIELDS_OF[kind], parent, "preset", "name"):
            value = cast("Mapping[str, object]", value).get(step) if isinstance(value, Mapping) else None
        if isinstance(value, str):
            yield value
