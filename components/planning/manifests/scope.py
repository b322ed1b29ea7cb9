"""What all manifests of a stack have in common: names, labels, where the code comes from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from components.planning.cluster_config import KubernetesSpec

Manifest = dict[str, Any]
"""An object of Kubernetes, as JSON."""

LABEL = "modelyard.dev"
WORKSPACE_LABEL = f"{LABEL}/workspace"
"""On every object and pod of a workspace; its value is the workspace's name."""
STACK_LABEL = f"{LABEL}/stack"
PART_LABEL = f"{LABEL}/part"
"""Which part of a workspace a pod is: head, worker, prefetch or template."""
NODES_LABEL = f"{LABEL}/nodes"
"""On nodes that are made for one workspace; its value is nodes_name()."""
DIGEST_ANNOTATION = f"{LABEL}/pods"
"""On a RayService, and by KubeRay on the RayClusters that it makes of it: a digest of the pods that are wanted."""
IMAGE_ANNOTATION = f"{LABEL}/weights-image"
"""On pods that mount an image with their weights: a cluster without image volumes makes them without it, in silence."""

MAX_NAME = 63


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """The serving code as it is brought to the cluster."""

    digest: str
    """Of the code; a part of the ConfigMap's name."""
    archive: str
    """The code as a zip archive in base64."""
    ray_version: str
    """Of the locked serving dependencies, which the image has."""


@dataclass(frozen=True, kw_only=True)
class Scope:
    """One stack on one cluster."""

    stack: str
    namespace: str
    spec: KubernetesSpec
    delivery: Delivery
    currency: str = "USD"

    @property
    def image(self) -> str:
        return self.spec.image or ""

    @property
    def code_name(self) -> str:
        """Of the ConfigMap with the code. Another code has another name, so that pods of the old one keep theirs."""
        return f"modelyard-code-{self.delivery.digest}"


def default_namespace(stack: str) -> str:
    """
    >>> default_namespace("Prod_EU")
    'modelyard-prod-eu'
    """
    kept = "".join(letter if letter.isalnum() else "-" for letter in stack.lower())
    return f"modelyard-{kept}"[:MAX_NAME].rstrip("-")


def labels(scope: Scope, workspace: str = "") -> dict[str, str]:
    """Of every object of the stack, and of one workspace's."""
    common = {
        "app.kubernetes.io/managed-by": "modelyard",
        "app.kubernetes.io/part-of": "modelyard",
        STACK_LABEL: scope.stack.strip("-_.")[:MAX_NAME].strip("-_."),
    }
    return common | ({"app.kubernetes.io/name": workspace, WORKSPACE_LABEL: workspace} if workspace else {})


def metadata(scope: Scope, name: str, workspace: str = "", **more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """Of an object in the stack's namespace."""
    return {"name": name, "namespace": scope.namespace, "labels": labels(scope, workspace), **more}


def nodes_name(scope: Scope, workspace: str, kind: str = "") -> str:
    """The name of what makes a workspace's nodes: two stacks on one cluster, and two namespaces, have different ones.

    kind: what the nodes are like. Others have another name, so that the old ones go when nothing is on them any more.

    >>> from components.planning.cluster_config import KubernetesSpec
    >>> scope = Scope(stack="dev", namespace="ml", spec=KubernetesSpec(), delivery=Delivery(
    ...     digest="", archive="", ray_version=""))
    >>> nodes_name(scope, "chat")
    'ml-chat-7543a1'
    """
    unique = digest_of(f"{scope.namespace}/{workspace}/{kind}", 6)
    return f"{scope.namespace}-{workspace}"[: MAX_NAME - 7].rstrip("-") + f"-{unique}"


def digest_of(text: str, length: int = 12) -> str:
    """Hexadecimal digits of the text's SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:length]
