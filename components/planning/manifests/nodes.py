"""What makes a workspace's GPU nodes, and what its pods must say to run on them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pydantic import JsonValue

from components.planning.candidates import group_name
from components.planning.cluster_config import NodeClassRef
from components.planning.manifests.scope import NODES_LABEL, Manifest, Scope, digest_of, labels, nodes_name
from components.planning.placed import PlacedWorkspace
from components.planning.render import canonical_json
from presets.memory import GIB, stored_bytes
from presets.node_sizes import NodeSize

SIZE_LABEL = "node.kubernetes.io/instance-type"
TAINT = {"key": "sku", "value": "gpu", "effect": "NoSchedule"}
"""Of every GPU node that is made, as KAITO's are: nothing but the models is scheduled on them."""

TOLERATIONS: tuple[dict[str, str], ...] = (
    {"key": "sku", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"},
    {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
    {"key": "kubernetes.azure.com/scalesetpriority", "operator": "Equal", "value": "spot", "effect": "NoSchedule"},
)
"""KAITO's of a workspace that serves (pkg/workspace/inference/preset_inferences.go, defaultTolerations)."""

KARPENTER_CLASS = NodeClassRef(group="karpenter.azure.com", kind="AKSNodeClass")
PROVISIONER_CLASS = NodeClassRef(group="kaito.sh", kind="KaitoNodeClass")
HOSTNAME = "kubernetes.io/hostname"
PRODUCT = "nvidia.com/gpu.product"
_NVIDIA = "nvidia.com/"
PROVISIONER_POOL = "kaito"
"""gpu-provisioner takes NodeClaims of this node pool and no others."""
STORAGE_GIB = 1024
"""Of a node's disk where the weights' size is not known, as in KAITO."""
SYSTEM_STORAGE_GIB = 80
"""Beside the weights: images and logs; KAITO adds the same to a model's size."""


@dataclass(frozen=True)
class Placing:
    """What a pod's spec needs to be put on the workspace's nodes."""

    node_selector: dict[str, str]
    affinity: dict[str, Any] = field(default_factory=dict[str, Any])
    tolerations: tuple[dict[str, str], ...] = TOLERATIONS

    def pod_fields(self) -> dict[str, Any]:
        return {
            "nodeSelector": self.node_selector,
            "tolerations": [dict(each) for each in self.tolerations],
            **({"affinity": self.affinity} if self.affinity else {}),
        }


def placing(workspace: PlacedWorkspace, scope: Scope) -> Placing:
    """Existing nodes by their labels, the preferred ones first; those that are made by the label that they get."""
    if scope.spec.nodes != "existing":
        return Placing({**_match_labels(workspace), NODES_LABEL: pool_name(workspace, scope)})
    wanted = {**_match_labels(workspace), **_group_labels(workspace, scope)}
    names = workspace.spec.resource.preferred_nodes
    if not names:
        return Placing(wanted)
    hosts = {"key": HOSTNAME, "operator": "In", "values": sorted(names)}
    preferred = {"weight": 100, "preference": {"matchExpressions": [hosts]}}
    return Placing(wanted, {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [preferred]}})


def gpu_resource(node: NodeSize | None) -> str:
    """What a container asks for a GPU by, or for a slice of one.

    With MIG strategy mixed, NVIDIA's device plugin offers slices under a name of their own.
    """
    profile = node.gpu.mig_profile if node else ""
    return f"nvidia.com/mig-{profile}" if profile else "nvidia.com/gpu"


def pool_name(workspace: PlacedWorkspace, scope: Scope) -> str:
    """Of a workspace's NodePool, and the value of its nodes' label, by what the nodes are.

    By all that makes another NodeClaim, too: pods that stayed on a node whose claim is not wanted any more would lose
    it at the end of the update.
    """
    claims, node = scope.spec.nodes == "gpu-provisioner", workspace.node
    kind: list[JsonValue] = [
        node.size_name if node else "",
        workspace.spot,
        canonical_json(_class_ref(workspace, scope)),
        # Karpenter's nodes have the system and the disk that their class says.
        [workspace.spec.resource.image_family, _storage_gib(workspace)] if claims else None,
    ]
    return nodes_name(scope, workspace.name, canonical_json(kind))


def node_manifests(workspace: PlacedWorkspace, scope: Scope) -> list[Manifest]:
    """A NodePool, or NodeClaims; nothing where the nodes are there already."""
    node = workspace.node
    if node is None or node.existing:
        return []
    if scope.spec.nodes == "karpenter":
        return [_node_pool(workspace, node, scope)]
    return [_node_claim(workspace, node, scope, index) for index in range(workspace.nodes)]


def _node_pool(workspace: PlacedWorkspace, node: NodeSize, scope: Scope) -> Manifest:
    name = pool_name(workspace, scope)
    capacity = "spot" if workspace.spot else "on-demand"
    requirements = [
        {"key": "karpenter.sh/capacity-type", "operator": "In", "values": [capacity]},
        {"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]},
        {"key": SIZE_LABEL, "operator": "In", "values": [node.size_name]},
    ]
    # Replicas that are replaced run beside the old ones for a while: so many nodes again, and never more.
    most = 2 * workspace.nodes * node.gpus
    return {
        "apiVersion": "karpenter.sh/v1",
        "kind": "NodePool",
        "metadata": {"name": name, "labels": labels(scope, workspace.name)},
        "spec": {
            "template": {
                "metadata": {"labels": _node_labels(workspace, scope, name)},
                "spec": {
                    "nodeClassRef": _class_ref(workspace, scope),
                    "taints": [dict(TAINT)],
                    "requirements": requirements,
                    "expireAfter": "Never",
                },
            },
            "limits": {"nvidia.com/gpu": str(most)},
            "disruption": {
                "consolidationPolicy": "WhenEmpty",
                "consolidateAfter": "60s",
                # A node with a model on it goes when somebody says so, and not because another one is cheaper.
                "budgets": [{"nodes": "0", "reasons": ["Drifted", "Underutilized"]}, {"nodes": "100%"}],
            },
        },
    }


def _node_claim(workspace: PlacedWorkspace, node: NodeSize, scope: Scope, index: int) -> Manifest:
    """As KAITO makes them for gpu-provisioner (pkg/utils/nodeclaim), but for the name, which is not made of the time:
    the same plan asks for the same node."""
    pool = pool_name(workspace, scope)
    family = workspace.spec.resource.image_family
    spec: dict[str, Any] = {
        "nodeClassRef": _class_ref(workspace, scope),
        "taints": [dict(TAINT)],
        "requirements": [
            {"key": "karpenter.sh/nodepool", "operator": "In", "values": [PROVISIONER_POOL]},
            {"key": SIZE_LABEL, "operator": "In", "values": [node.size_name]},
            {"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]},
            {"key": "karpenter.azure.com/sku-name", "operator": "In", "values": [node.size_name]},
        ],
        "resources": {"requests": {"storage": f"{_storage_gib(workspace)}Gi"}},
    }
    # A NodeClaim's spec cannot be changed: what is asked for otherwise is another claim.
    unique = digest_of(f"{pool}/{canonical_json(spec)}/{index}", 9)
    return {
        "apiVersion": "karpenter.sh/v1",
        "kind": "NodeClaim",
        "metadata": {
            # gpu-provisioner makes an agent pool of this name: at most 12 characters, a letter first.
            "name": f"ws{unique}",
            "labels": {
                **labels(scope, workspace.name),
                **_node_labels(workspace, scope, pool),
                "karpenter.sh/nodepool": PROVISIONER_POOL,
                "kaito.sh/workspace": workspace.name,
                "kaito.sh/workspacenamespace": scope.namespace,
            },
            "annotations": {"karpenter.sh/do-not-disrupt": "true", "kaito.sh/node-image-family": family},
        },
        "spec": spec,
    }


def _class_ref(workspace: PlacedWorkspace, scope: Scope) -> dict[str, JsonValue]:
    default = KARPENTER_CLASS if scope.spec.nodes == "karpenter" else PROVISIONER_CLASS
    chosen = scope.spec.node_class_ref or default
    name = workspace.spec.resource.node_class or chosen.name
    return {"group": chosen.group, "kind": chosen.kind, "name": name}


def _node_labels(workspace: PlacedWorkspace, scope: Scope, name: str) -> dict[str, str]:
    return {**_match_labels(workspace), NODES_LABEL: name}


def _match_labels(workspace: PlacedWorkspace) -> dict[str, str]:
    selector = workspace.spec.resource.label_selector
    return dict(sorted(selector.match_labels.items())) if selector else {}


def _group_labels(workspace: PlacedWorkspace, scope: Scope) -> dict[str, str]:
    """What keeps the pods to the group of existing nodes that the plan has chosen: its GPU, and the labels that people
    have given it, but for the name of one node that stands for several. Counts and memory are compared when the nodes
    are there."""
    node = workspace.node
    groups = {group_name(group, index): group for index, group in enumerate(scope.spec.existing)}
    group = groups.get(node.size_name) if node else None
    if group is None:
        return {}
    kept = {key: value for key, value in sorted(group.labels.items()) if key == PRODUCT or not key.startswith(_NVIDIA)}
    if group.count > 1:
        kept.pop(HOSTNAME, None)
    return kept


def _storage_gib(workspace: PlacedWorkspace) -> int:
    if workspace.facts is None or workspace.kind == "tuning":
        return STORAGE_GIB
    return int(stored_bytes(workspace.facts) / GIB + SYSTEM_STORAGE_GIB)
