"""ResourceReady on a cluster: whether the workspace's GPU nodes are there, and are what the plan counts with. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from components.planning.manifests.scope import PART_LABEL
from components.reconciliation.cluster.api import Json
from components.reconciliation.cluster.cause import Cause
from components.reconciliation.cluster.lists import has_labels
from components.reconciliation.cluster.partial_json import condition, mapping, name_of, text
from components.reconciliation.cluster.values import Seen, Wanted, WantedNodes
from components.reconciliation.state import Finding, not_ready, ready
from presets.node_labels import node_from_labels
from presets.node_sizes import NodeSize

_MODELS = ("worker", "template")
"""Parts of a workspace that need its GPU nodes."""
_MEMORY_TOLERANCE = 0.9
"""Labels give a GPU's memory as its driver counts it, a few per cent below the nominal size."""


def nodes_finding(wanted: Wanted, seen: Seen, cause: Cause | None) -> Finding:
    """cause: what the provisioner, or the scheduler, says is wrong."""
    nodes = wanted.nodes
    if seen.nodes is None:
        return _by_pods(wanted, seen, cause)
    selected = {name: node for name, node in seen.nodes.items() if has_labels(node, nodes.selector)}
    usable = {name: node for name, node in selected.items() if is_usable(node, nodes.resource)}
    if nodes.source == "existing" and (different := differences(nodes, usable)):
        return not_ready("NodesDiffer", different)
    if len(usable) >= nodes.count:
        return ready("NodesReady", f"{len(usable)} of {nodes.count} nodes are ready: {', '.join(sorted(usable))}")
    if cause is not None:
        return not_ready(cause.reason, f"{cause.message}{_otherwise(nodes)}")
    if nodes.source == "existing":
        return not_ready("NodesMissing", f"{_unusable(nodes, selected)}{_otherwise(nodes)}")
    return not_ready("NodesProvisioning", f"{len(usable)} of {nodes.count} nodes are ready")


def is_usable(node: Json, resource: str = "nvidia.com/gpu") -> bool:
    """Whether models can run on it: Ready, and the device plugin offers GPUs."""
    return text(condition(node, "Ready"), "status") == "True" and _offers(node, resource) > 0


def differences(nodes: WantedNodes, usable: Mapping[str, Json]) -> str:
    """Which node has less than the plan counts with, and what; "" if none has or the plan does not know the nodes."""
    if not nodes.gpus:
        return ""
    for name, node in sorted(usable.items()):
        found = _described(node)
        if found is not None and (wrong := _less(nodes, found)):
            return (
                f"node {name} has {wrong}; correct modelyard:kubernetes.existing, or the labels that select the nodes"
            )
    return ""


def _less(nodes: WantedNodes, found: NodeSize) -> str:
    if found.gpus < nodes.gpus:
        return f"{found.gpus} x {found.gpu.name}, and the plan counts with {nodes.gpus} x {nodes.gpu}"
    if found.gpu.memory_gib < nodes.memory_gib * _MEMORY_TOLERANCE:
        has = f"{found.gpu.name} of {found.gpu.memory_gib:.0f} GiB"
        return f"{has}, and the plan counts with {nodes.gpu} of {nodes.memory_gib:.0f} GiB"
    return ""


def _described(node: Json) -> NodeSize | None:
    """None of a node that NVIDIA's GPU feature discovery has not labelled."""
    labels = {key: value for key, value in mapping(node, "metadata", "labels").items() if isinstance(value, str)}
    try:
        return node_from_labels(labels, name_of(node))
    except ValueError:
        return None


def _by_pods(wanted: Wanted, seen: Seen, cause: Cause | None) -> Finding:
    """Where this login may not read nodes, what the scheduler has done tells as much."""
    models = [pod for pod in seen.pods if text(pod, "metadata", "labels", PART_LABEL) in _MODELS]
    placed = sum(bool(text(pod, "spec", "nodeName")) for pod in models)
    if placed >= wanted.replicas:
        return ready("PodsScheduled", f"{placed} pods have nodes; this login may not read nodes themselves")
    if cause is not None:
        return not_ready(cause.reason, f"{cause.message}{_otherwise(wanted.nodes)}")
    return not_ready("PodsPending", f"{placed} pods have nodes; this login may not read nodes themselves")


def _unusable(nodes: WantedNodes, found: Mapping[str, Json]) -> str:
    labels = ", ".join(f"{key}={value}" for key, value in sorted(nodes.selector.items())) or "no label"
    if not found:
        return f"no node has {labels}: correct resource.labelSelector, or add the labels to nodes"
    reasons = [f"{name} {_why_not(node, nodes.resource)}" for name, node in sorted(found.items())]
    whys = [reason for reason in reasons if not reason.endswith("is ready")]
    ready_nodes = len(found) - len(whys)
    listed = f": {'; '.join(whys)}" if whys else ""
    return f"{ready_nodes} of {nodes.count} nodes with {labels} are ready{listed}"


def _why_not(node: Json, resource: str) -> str:
    answer = condition(node, "Ready")
    if text(answer, "status") != "True":
        return f"is not Ready ({text(answer, 'message') or 'its kubelet is silent'})"
    if _offers(node, resource) == 0:
        return f"offers no {resource}: NVIDIA's device plugin does not run there"
    return "is ready"


def _offers(node: Json, resource: str) -> int:
    offered: object = mapping(node, "status", "allocatable").get(resource, 0)
    return int(offered) if isinstance(offered, int) or (isinstance(offered, str) and offered.isdigit()) else 0


def _otherwise(nodes: WantedNodes) -> str:
    return f"; {nodes.otherwise}" if nodes.otherwise else ""


def worker_nodes(pods: Iterable[Json]) -> list[str]:
    """Names of the nodes that the model is on, sorted; Ray's head is no part of it."""
    models = [pod for pod in pods if text(pod, "metadata", "labels", PART_LABEL) in _MODELS]
    return sorted({name for pod in models if (name := text(pod, "spec", "nodeName"))})
