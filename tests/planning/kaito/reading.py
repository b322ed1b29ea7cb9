"""Manifests as texts, and what is read from them."""

from __future__ import annotations

import textwrap
from typing import Any

import yaml

from components.planning.errors import Problem
from components.planning.kaito.documents import ManifestFile
from components.planning.kaito.read import Manifests, read_manifests

FILE = "ws.yaml"

PRESET = "{preset: {name: phi-3-mini-4k-instruct}}"
RESOURCE = "{instanceType: Standard_NC24ads_A100_v4, labelSelector: {matchLabels: {apps: phi-3}}}"
IMAGE = "myregistry.azurecr.io/phi-3-adapter:0.0.1"
TUNING = {
    "preset": "{name: phi-3-mini-4k-instruct}",
    "method": "qlora",
    "input": "{urls: ['https://example.com/train.parquet']}",
    "output": f"{{image: '{IMAGE}', imagePushSecret: registry}}",
}


def read(*texts: str, existing_nodes: bool = False) -> Manifests:
    """The manifests in files ws.yaml, ws-2.yaml and so on."""
    names = [FILE, *(f"ws-{number}.yaml" for number in range(2, len(texts) + 1))]
    files = [ManifestFile(path=name, text=textwrap.dedent(text)) for name, text in zip(names, texts, strict=True)]
    return read_manifests(files, existing_nodes=existing_nodes)


def the_workspace(*texts: str, existing_nodes: bool = False) -> dict[str, Any]:
    """The one workspace that is read from manifests without a problem."""
    manifests = read(*texts, existing_nodes=existing_nodes)
    assert manifests.problems == ()
    (workspace,) = manifests.workspaces
    return workspace.raw


def warned(*texts: str, existing_nodes: bool = False) -> str:
    """The warnings about manifests without a problem."""
    manifests = read(*texts, existing_nodes=existing_nodes)
    assert manifests.problems == ()
    return "\n".join(manifests.warnings)


def workspace(
    *,
    name: str = "phi",
    version: str = "v1beta1",
    metadata: str = "",
    resource: str = RESOURCE,
    inference: str | None = PRESET,
    more: str = "",
) -> str:
    """A Workspace, with its parts in YAML's flow style."""
    lines = [
        f"apiVersion: kaito.sh/{version}",
        "kind: Workspace",
        f"metadata: {{name: {name}{', ' + metadata if metadata else ''}}}",
        f"resource: {resource}",
        f"inference: {inference}" if inference is not None else "",
        more,
    ]
    return "\n".join(line for line in lines if line) + "\n"


def tuning(*, resource: str = RESOURCE, **parts: str | None) -> str:
    """A tuning Workspace; `parts` replace those of TUNING, None leaves one out."""
    kept = {name: text for name, text in (TUNING | parts).items() if text is not None}
    more = "\n".join(["tuning:", *(f"  {name}: {text}" for name, text in kept.items())])
    return workspace(name="tune", resource=resource, inference=None, more=more)


def inference_set(
    *,
    version: str = "v1beta1",
    metadata: str = "name: chat",
    spec: str = "",
    resource: str = "",
    inference: str = PRESET,
) -> str:
    resource = resource or "{instanceType: Standard_NC24ads_A100_v4}"
    return textwrap.dedent(f"""\
        apiVersion: kaito.sh/{version}
        kind: InferenceSet
        metadata: {{{metadata}}}
        spec:
          labelSelector: {{matchLabels: {{apps: chat}}}}
          template:
            resource: {resource}
            inference: {inference}
          {spec}
        """)


def config_map(content: str, *, key: str = "inference_config.yaml", name: str = "settings", metadata: str = "") -> str:
    """A ConfigMap with YAML in its key."""
    data = {"apiVersion": "v1", "kind": "ConfigMap", "data": {key: textwrap.dedent(content)}}
    data["metadata"] = {"name": name} | yaml.safe_load(f"{{{metadata}}}")
    return yaml.safe_dump(data)


def with_config(content: str, *, inference: str = "preset: {name: phi-3-mini-4k-instruct}", metadata: str = "") -> str:
    """A Workspace and the ConfigMap that it names."""
    used = workspace(inference=f"{{{inference}, config: settings}}", metadata=metadata)
    return f"{config_map(content)}---\n{used}"


def tuning_with_config(content: str, method: str = "qlora") -> str:
    """A tuning Workspace and the ConfigMap that it names; `content` stands below training_config."""
    indented = textwrap.indent(textwrap.dedent(content), "  ")
    settings = config_map(f"training_config:\n{indented}", key="training_config.yaml")
    return f"{settings}---\n{tuning(method=method, config='settings')}"


def words_of(problem: Problem) -> str:
    return " | ".join((problem.path, problem.found, problem.allowed, problem.do))
