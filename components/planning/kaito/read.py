"""From KAITO's manifests to workspaces of our own config, with everything that is wrong with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from components.planning.errors import Problem
from components.planning.kaito.config_maps import DEFAULT_NAMESPACE, ConfigMaps
from components.planning.kaito.documents import Document, ManifestFile, documents
from components.planning.kaito.findings import Findings
from components.planning.kaito.inference import Context
from components.planning.kaito.preset import preset_problems
from components.planning.kaito.workspace import from_inference_set, from_workspace
from components.planning.place import Place, shown
from presets.catalog import Models
from presets.nearest import nearest

GROUP = "kaito.sh"
VERSIONS = (f"{GROUP}/v1alpha1", f"{GROUP}/v1beta1")

_READ = {"Workspace": from_workspace, "InferenceSet": from_inference_set}
_NOT_READ = {
    "RAGEngine": (
        "Workspace and InferenceSet: retrieval is no part of this program",
        "deploy it beside, with KAITO's RAG chart, and give it the workspace's address in inferenceService.url; "
        "leave its file out of modelyard:manifests",
    ),
    "MultiRoleInference": (
        "Workspace and InferenceSet: prefill and decode run in the same replica here",
        "write a Workspace or an InferenceSet of the same model, with as many replicas as it needs",
    ),
    "ModelMirror": (
        "Workspace and InferenceSet: weights are downloaded from their source, there is no mirror of them",
        "leave its file out of modelyard:manifests; weights from elsewhere are named in presetOptions.weights "
        "of the stack config",
    ),
}
_KINDS = (*_READ, *_NOT_READ)


@dataclass(frozen=True, kw_only=True)
class ManifestWorkspace:
    """One workspace. `raw` is in the form of an item of modelyard:workspaces; `place` is where it was read."""

    place: Place
    raw: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Manifests:
    """All workspaces that have no problem of their own, in the order of the files."""

    workspaces: tuple[ManifestWorkspace, ...]
    problems: tuple[Problem, ...]
    warnings: tuple[str, ...]


def read_manifests(
    files: Sequence[ManifestFile],
    *,
    existing_nodes: bool,
    models: Models | None = None,
    allowed_hosts: frozenset[str] = frozenset(),
) -> Manifests:
    """Every Workspace and InferenceSet of the files, checked as KAITO would. Pure; all problems at once.

    existing_nodes: the nodes are there already (KAITO's BYO), so that a size is refused and a partition is allowed;
    otherwise nodes are made, and it is the other way round. models: those beyond the catalogue. allowed_hosts: hosts of
    data that may be inside, because the stack says so. Names of presets and what fits where are left to the rules that
    all workspaces share.
    """
    findings = Findings()
    found = [document for file in files for document in documents(file, findings)]
    context = Context(
        config_maps=ConfigMaps([document for document in found if _is_config_map(document)]),
        existing_nodes=existing_nodes,
        findings=findings,
        models=models or Models(),
        allowed_hosts=allowed_hosts,
    )
    read = [document for document in found if _is_read(document, findings)]
    converted = [_convert(document, context) for document in read]
    _check_names(read, findings)
    _warn_of_namespaces(read, findings)
    for document in found:
        _warn_of_others(document, context)
    wrong = {problem.path for problem in findings.problems}
    workspaces = tuple(
        workspace
        for workspace in converted
        if workspace is not None and workspace.place.at("metadata", "name").path not in wrong
    )
    if not workspaces and not findings.problems:
        names = ", ".join(file.path for file in files) or "no file"
        findings.warnings.append(f"{names}: no Workspace and no InferenceSet to plan")
    return Manifests(workspaces=workspaces, problems=tuple(findings.problems), warnings=tuple(findings.warnings))


def _convert(document: Document, context: Context) -> ManifestWorkspace | None:
    before = len(context.findings.problems)
    raw = _READ[str(document.kind)](document, context)
    if raw is None:
        return None
    if len(context.findings.problems) == before:
        return ManifestWorkspace(place=document.place, raw=raw)
    preset_problems(raw, document.place, context.findings, context.models)
    return None


def _is_read(document: Document, findings: Findings) -> bool:
    """Whether it is a kind that becomes a workspace; refuses what people take for one."""
    version, kind, place = document.api_version, document.kind, document.place
    if not isinstance(version, str) or not isinstance(kind, str):
        missing = [name for name, value in (("apiVersion", version), ("kind", kind)) if not isinstance(value, str)]
        findings.refuse(
            place,
            found=f"no {' and no '.join(missing)}",
            allowed="an object of Kubernetes, which has both",
            do=f"add {' and '.join(f'{name}: {_EXAMPLE[name]}' for name in missing)}",
        )
        return False
    if version.partition("/")[0] != GROUP:
        _refuse_likely_typo(version, kind, place, findings)
        return False
    if kind not in _KINDS:
        likely = nearest(kind, _KINDS, limit=1)
        findings.refuse(
            place.at("kind"),
            found=shown(kind),
            allowed=f"a kind of {GROUP}: {', '.join(_KINDS)}",
            do=f"write {likely[0]}" if likely else "remove the document",
        )
        return False
    if kind in _NOT_READ:
        allowed, do = _NOT_READ[kind]
        findings.refuse(place, found=f"kind {kind}", allowed=allowed, do=do)
        return False
    if version not in VERSIONS:
        findings.refuse(
            place.at("apiVersion"),
            found=shown(version),
            allowed=f"one of {', '.join(VERSIONS)}",
            do=f"write {VERSIONS[-1]}",
        )
        return False
    return True


_EXAMPLE = {"apiVersion": VERSIONS[-1], "kind": "Workspace"}


def _refuse_likely_typo(version: str, kind: str, place: Place, findings: Findings) -> None:
    """Other systems have a Workspace too; only a group that looks like KAITO's is taken for a typo."""
    group = version.partition("/")[0]
    if kind in _READ and ("kaito" in group.lower() or nearest(group, (GROUP,))):
        findings.refuse(
            place.at("apiVersion"),
            found=shown(version),
            allowed=f"one of {', '.join(VERSIONS)}",
            do=f"write {VERSIONS[-1]}",
        )


def _check_names(read: Sequence[Document], findings: Findings) -> None:
    first: dict[str, Document] = {}
    for document in read:
        other = first.setdefault(document.name, document)
        if document.name and other is not document:
            findings.refuse(
                document.place.at("metadata", "name"),
                found=f'"{document.name}", which is also the name of the {other.kind} in {other.file}, '
                f"document at line {other.line}",
                allowed="a name of its own for each workspace of a stack, whatever its kind and namespace",
                do=f"rename one, for example {document.name}-2, or leave one out",
            )


def _warn_of_namespaces(read: Sequence[Document], findings: Findings) -> None:
    namespaces = sorted({document.namespace or DEFAULT_NAMESPACE for document in read})
    if len(namespaces) > 1:
        findings.warnings.append(
            f"the manifests are in namespaces {', '.join(namespaces)}: a stack has one namespace for all its "
            "workspaces; a stack for each of them keeps them apart"
        )


def _is_config_map(document: Document) -> bool:
    return document.api_version == "v1" and document.kind == "ConfigMap"


def _warn_of_others(document: Document, context: Context) -> None:
    """What is in the files and stays out of the plan. No data of theirs is read, let alone shown."""
    version, kind = document.api_version, document.kind
    if not isinstance(version, str) or not isinstance(kind, str) or version.partition("/")[0] == GROUP:
        return
    if any(problem.path.startswith(document.place.path) for problem in context.findings.problems):
        return
    if not _is_config_map(document):
        context.findings.warn(document.place, "ignored, as it is no workspace: kubectl apply it")
    elif document.name not in context.config_maps.used:
        context.findings.warn(document.place, "ignored, as no workspace names it in its config")
