"""Whether new replicas of a workspace may start while the old ones run: whether there are nodes for both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from components.planning.cluster_config import KubernetesSpec
from components.planning.config import Target
from components.planning.placed import PlacedWorkspace


def those_beside(
    placed: Iterable[PlacedWorkspace], free_nodes: Mapping[str, int], spec: KubernetesSpec, target: Target
) -> frozenset[str]:
    """Names of the workspaces of which it is so. free_nodes: of existing nodes, by name, how many the plan leaves free.

    A free node is promised to one of them, the first by name: an update may change them all at once. Karpenter and an
    agent pool make nodes as pods ask for them. gpu-provisioner makes one for each NodeClaim, and of those there are as
    many as the plan has nodes.
    """
    free = dict(free_nodes)
    beside: set[str] = set()
    for workspace in sorted(placed, key=lambda each: each.name):
        node = workspace.node
        if node is None:
            continue
        if not node.existing:
            if target == "aks" or spec.nodes == "karpenter":
                beside.add(workspace.name)
        elif free.get(node.size_name, 0) >= workspace.nodes:
            free[node.size_name] -= workspace.nodes
            beside.add(workspace.name)
    return frozenset(beside)
