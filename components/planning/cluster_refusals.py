"""What is planned on a cluster and cannot be made there by this version, found before anything is made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import cast

from components.planning.cluster_config import KubernetesSpec
from components.planning.cluster_weights import registry_logins
from components.planning.placed import PlacedWorkspace
from presets.placement import Placement

MOST_REPLICAS = 128
"""Half of the workers that a Ray of ours may have: replicas that are replaced run beside the old ones."""


def not_provisioned(placed: Iterable[PlacedWorkspace], spec: KubernetesSpec) -> list[str]:
    """Sentences, each with a way out; none if an update can make all of it."""
    workspaces = list(placed)
    found = [sentence for workspace in workspaces for sentence in _of_workspace(workspace, spec)]
    serving = [workspace.name for workspace in workspaces if workspace.kind == "inference"]
    if serving and spec.image is None:
        found.insert(
            0,
            f"modelyard:kubernetes.image is not set, and {', '.join(serving)} would run from it: build the project's "
            "Containerfile, push it where the nodes can pull it, and name it there",
        )
    return found


def _has_containers(workspace: PlacedWorkspace) -> bool:
    template = workspace.spec.inference.template if workspace.spec.inference else None
    spec = (template or {}).get("spec")
    return isinstance(spec, dict) and bool(cast("dict[str, object]", spec).get("containers"))


def _of_workspace(workspace: PlacedWorkspace, spec: KubernetesSpec) -> Iterator[str]:
    if workspace.kind == "tuning":
        yield f"{workspace.name}: tuning is planned and not provisioned in this version; remove it for an update"
    elif workspace.kind == "template" and not _has_containers(workspace):
        yield f"{workspace.name}: its template has no containers; write inference.template.spec.containers"
    elif workspace.kind == "inference" and workspace.replicas > MOST_REPLICAS:
        yield f"{workspace.name}: {workspace.replicas} replicas, and a Ray of ours has at most {MOST_REPLICAS}"
    elif workspace.spot and spec.nodes == "gpu-provisioner":
        yield (
            f"{workspace.name}: gpu-provisioner makes no spot nodes; remove resource.spot, or write "
            "kubernetes: {nodes: karpenter}"
        )
    elif len(logins := registry_logins(workspace, spec)) > 1:
        yield (
            f"{workspace.name}: its weights and adapters name several imagePullSecrets ({', '.join(logins)}), and a "
            "pod logs in with one; put all registries into one Secret"
        )
    elif workspace.kind == "inference" and not isinstance(workspace.model, Placement):
        yield (
            f"{workspace.name}: its nodes are not described, so that how the model is divided is not known; describe "
            "them in modelyard:kubernetes.existing"
        )
    elif isinstance(workspace.model, Placement) and workspace.model.nodes_of_replica > 1:
        yield (
            f"{workspace.name}: a replica over {workspace.model.nodes_of_replica} nodes is planned and not provisioned "
            "in this version; choose a size on which one node holds it (resource.instanceType)"
        )
