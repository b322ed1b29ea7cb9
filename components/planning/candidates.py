"""Which nodes a workspace may be placed on: existing ones that its labels select, the size it asks for, or any."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from components.planning.config import ExistingNodes, KubernetesSpec, PartitionSpec, WorkspaceSpec
from components.planning.errors import Problem
from components.planning.place import Place
from components.planning.spec import Spec
from presets.node_labels import node_from_labels
from presets.node_sizes import (
    NodeSize,
    UnknownMigProfile,
    UnknownNodeSize,
    find_node_size,
    node_sizes,
    with_gpus,
    with_mig,
)
from presets.price import Price, Prices

Sizes = tuple[tuple[NodeSize, Price | None], ...]


@dataclass(frozen=True)
class Candidates:
    """Sizes with the price of a node for an hour."""

    sizes: Sizes
    """That the workspace may be on; empty: existing nodes that nobody has described."""
    others: Sizes
    """That it could be on with another instanceType."""
    asked: bool = False
    """Whether the config names the size."""
    existing: bool = False


def candidates_of(workspace: WorkspaceSpec, where: Place, spec: Spec) -> Candidates | list[Problem]:
    """The candidates, or what is wrong with the way that the config describes them."""
    asked = workspace.resource.instance_type
    here = where.at("resource", "instanceType")
    if spec.kubernetes.nodes == "existing":
        if asked is not None:
            return [
                here.problem(
                    found=f'"{asked}"',
                    allowed="nothing: with kubernetes.nodes: existing no node is made, labelSelector selects nodes",
                    do="remove instanceType, or write kubernetes: {nodes: gpu-provisioner}",
                )
            ]
        return _existing(workspace, where, spec)
    if workspace.resource.partition is not None:
        return [
            where.at("resource", "partition").problem(
                found="a partition",
                allowed="whole GPUs: nodes that are made are not divided; existing ones may be",
                do="remove partition, or write kubernetes: {nodes: existing}",
            )
        ]
    offered = _priced(_offered(spec.prices), spec.prices, spot=workspace.resource.spot)
    if asked is None:
        return Candidates(offered, offered)
    try:
        size = find_node_size(asked)
    except UnknownNodeSize as unknown:
        likely = ", ".join(_described(node_sizes()[name]) for name in unknown.nearest)
        return [
            here.problem(
                found=f'"{asked}"',
                allowed="a size in presets/gpus/azure_sizes.yaml" + (f"; nearest: {likely}" if likely else ""),
                do=f"write {unknown.nearest[0]}" if likely else "leave it out: the cheapest that fits is chosen",
            )
        ]
    return Candidates(_priced([size], spec.prices, spot=workspace.resource.spot), offered, asked=True)


def _described(size: NodeSize) -> str:
    return f"{size.name} ({size.gpus} x {size.gpu.name})"


def _offered(prices: Prices) -> list[NodeSize]:
    """What can be chosen by itself: sold still, in this region as far as is known, with GPUs that engines run on."""
    return [
        size
        for size in node_sizes().values()
        if not size.retired and size.gpu.vendor == "nvidia" and prices.offered(size) is not False
    ]


def _priced(sizes: Iterable[NodeSize], prices: Prices, *, spot: bool) -> Sizes:
    return tuple((size, prices.of(size, spot=spot)) for size in sizes)


def _existing(workspace: WorkspaceSpec, where: Place, spec: Spec) -> Candidates | list[Problem]:
    if not spec.kubernetes.existing:
        return Candidates((), (), existing=True)
    selector = workspace.resource.label_selector
    wanted = selector.match_labels if selector else {}
    sizes: list[tuple[NodeSize, Price | None]] = []
    for index, group in enumerate(spec.kubernetes.existing):
        if not wanted.items() <= group.labels.items():
            continue
        place = Place(f"modelyard:kubernetes.existing[{index}]")
        node = _described_node(group, _name(group, index), place, workspace.resource.partition, where)
        if isinstance(node, Problem):
            return [node]
        own = group.price_per_hour
        sizes.append((node, spec.prices.of(node) if own is None else Price(own, "modelyard:kubernetes.existing")))
    if sizes:
        return Candidates(tuple(sizes), (), existing=True)
    labels = ", ".join(f"{key}={value}" for key, value in sorted(wanted.items()))
    return [
        where.at("resource", "labelSelector").problem(
            found=labels,
            allowed="labels that a group of modelyard:kubernetes.existing has",
            do="correct the selector, or describe the nodes that it selects",
        )
    ]


def _name(group: ExistingNodes, index: int) -> str:
    return f"{group.labels.get('nvidia.com/gpu.product', 'GPU node')} [group {index + 1}]"


def _described_node(
    group: ExistingNodes, name: str, place: Place, partition: PartitionSpec | None, where: Place
) -> NodeSize | Problem:
    profile = partition.profile or "" if partition and partition.mode == "mig" else ""
    try:
        node = node_from_labels(group.labels, name, profile=profile)
    except ValueError as wrong:
        return _wrong_labels(group, name, place, wrong) or where.at("resource", "partition", "profile").problem(
            found=f'"{profile}" on {name}',
            allowed=str(wrong),
            do="choose nodes that are divided so, or remove partition",
        )
    if partition is None:
        return node
    here = where.at("resource", "partition")
    try:
        if partition.mode == "mig":
            return with_mig(node, profile)
        return with_gpus(node, partition.count or 1)
    except UnknownMigProfile as unknown:
        profiles = ", ".join(unknown.profiles) or "none: the GPU cannot be divided"
        return here.at("profile").problem(
            found=f'"{partition.profile}"', allowed=f"a MIG profile of {node.gpu.name}: {profiles}", do="choose one"
        )
    except ValueError as wrong:
        return here.at("count").problem(
            found=str(partition.count), allowed=f"at most {node.gpus}: {wrong}", do=f"write {node.gpus} or less"
        )


def _wrong_labels(group: ExistingNodes, name: str, place: Place, wrong: ValueError) -> Problem | None:
    """What is wrong with the labels whoever uses the nodes; None if they only lack what one workspace asks of them."""
    try:
        node_from_labels(group.labels, name)
    except ValueError as also_wrong:
        wrong = also_wrong
    else:
        return None
    return place.at("labels").problem(
        found=", ".join(sorted(group.labels)) or "no label",
        allowed=f"the labels of NVIDIA's GPU feature discovery: {wrong}",
        do="copy them from kubectl get node NAME -o yaml",
    )


def overbooked(placed: Sequence[tuple[Place, NodeSize | None, int]], spec: KubernetesSpec) -> list[Problem]:
    """Existing nodes that are promised more often than there are of them."""
    problems: list[Problem] = []
    if spec.nodes != "existing":
        return problems
    for index, group in enumerate(spec.existing):
        name = _name(group, index)
        users = [(place, nodes) for place, node, nodes in placed if node is not None and node.size_name == name]
        total = sum(nodes for _, nodes in users)
        if total > group.count:
            who = ", ".join(f"{place.workspace} {nodes}" for place, nodes in users)
            problems.append(
                Place(f"modelyard:kubernetes.existing[{index}]").problem(
                    found=f"{total} nodes needed: {who}",
                    allowed=f"{group.count}: as many as there are",
                    do="select other nodes with labelSelector, serve fewer replicas, or add nodes and their count",
                )
            )
    return problems


def free_nodes(placed: Sequence[tuple[NodeSize | None, int]], spec: KubernetesSpec) -> dict[str, int]:
    """How many nodes of each existing group a plan leaves free, by the group's name."""
    names = {_name(group, index): group.count for index, group in enumerate(spec.existing)}
    for node, nodes in placed:
        if node is not None and node.size_name in names:
            names[node.size_name] -= nodes
    return names
