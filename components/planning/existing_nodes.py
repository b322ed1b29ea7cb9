"""How much of the existing nodes a plan uses: GPUs, or slices of them, of each group that the config describes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from components.planning.candidates import group_name
from components.planning.cluster_config import KubernetesSpec
from components.planning.errors import Problem
from components.planning.place import Place
from presets.node_labels import node_from_labels
from presets.node_sizes import NodeSize


@dataclass(frozen=True, kw_only=True)
class Use:
    """Of one workspace."""

    workspace: str
    node: NodeSize
    gpus: int
    """Or slices, of all its replicas."""


class Stock:
    """What is left of each group while workspaces are placed, one after the other."""

    def __init__(self, spec: KubernetesSpec) -> None:
        groups = spec.existing if spec.nodes == "existing" else []
        self._groups = {group_name(group, index): group for index, group in enumerate(groups)}
        self._uses: dict[tuple[str, str], list[Use]] = {}
        """By group, and by MIG profile where its nodes are divided into several kinds of slices."""

    def has(self, use: Use) -> bool:
        """Whether so many are left in the use's group; always for nodes that are made."""
        return use.node.size_name not in self._groups or self._used(use.node) + use.gpus <= self._all(use.node)

    def take(self, use: Use) -> None:
        """Use them, be they there or not: overbooked tells."""
        if use.node.size_name in self._groups:
            self._uses.setdefault((use.node.size_name, use.node.gpu.mig_profile), []).append(use)

    def free_nodes(self) -> dict[str, int]:
        """Whole nodes of each group that nobody uses, by the group's name."""
        free = {name: group.count for name, group in self._groups.items()}
        for (name, _), uses in self._uses.items():
            free[name] -= -(-self._used(uses[0].node) // self._per_node(uses[0].node))
        return free

    def overbooked(self) -> list[Problem]:
        """Groups of which more is used than there is."""
        return [
            self._too_many(uses)
            for uses in self._uses.values()
            if sum(use.gpus for use in uses) > self._all(uses[0].node)
        ]

    def _too_many(self, uses: list[Use]) -> Problem:
        node = uses[0].node
        unit = f"slices {node.gpu.mig_profile}" if node.gpu.mig_profile else "GPUs"
        each, nodes = self._per_node(node), self._groups[node.size_name].count
        index = list(self._groups).index(node.size_name)
        return Place(f"modelyard:kubernetes.existing[{index}]").problem(
            found=f"{self._used(node)} {unit} needed: {', '.join(f'{use.workspace} {use.gpus}' for use in uses)}",
            allowed=f"{nodes * each}: as many as {nodes} of these nodes have",
            do="select other nodes with labelSelector, serve fewer replicas, or add nodes and their count",
        )

    def _used(self, node: NodeSize) -> int:
        return sum(use.gpus for use in self._uses.get((node.size_name, node.gpu.mig_profile), []))

    def _all(self, node: NodeSize) -> int:
        return self._groups[node.size_name].count * self._per_node(node)

    def _per_node(self, node: NodeSize) -> int:
        """GPUs of a whole node, of which a workspace may use a part; slices where it is divided into them."""
        if node.gpu.mig_profile:
            return node.gpus
        return node_from_labels(self._groups[node.size_name].labels, node.size_name).gpus


def use_of(workspace: str, node: NodeSize, nodes: int, gpus_of_replicas: Iterable[int]) -> Use:
    """gpus_of_replicas: of each replica; empty: the workspace takes whole nodes."""
    used = sum(gpus_of_replicas)
    return Use(workspace=workspace, node=node, gpus=used or nodes * node.gpus)
