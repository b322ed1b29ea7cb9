"""Which nodes a workspace may be placed on: existing ones that its labels select, the size it asks for, or any."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from components.planning.cluster_config import ExistingNodes, KubernetesSpec
from components.planning.config import PartitionSpec, WorkspaceSpec
from components.planning.errors import Problem
from components.planning.place import Place
from components.planning.spec import Spec
from presets.node_labels import node_from_labels, slices_of
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
    selector, partition = workspace.resource.label_selector, workspace.resource.partition
    wanted = selector.match_labels if selector else {}
    selected = [(index, group) for index, group in enumerate(spec.kubernetes.existing) if _has(group, wanted)]
    if not selected:
        labels = ", ".join(f"{key}={value}" for key, value in sorted(wanted.items()))
        return [
            where.at("resource", "labelSelector").problem(
                found=labels,
                allowed="labels that a group of modelyard:kubernetes.existing has",
                do="correct the selector, or describe the nodes that it selects",
            )
        ]
    sizes: list[tuple[NodeSize, Price | None]] = []
    problems: list[Problem] = []
    for index, group in selected:
        node = _node_of(group, index, partition, where)
        if isinstance(node, Problem):
            problems.append(node)
        elif node is not None:
            own = group.price_per_hour
            price = spec.prices.of(node) if own is None else Price(own, "modelyard:kubernetes.existing")
            sizes.append((node, price))
    if sizes or not problems:
        return Candidates(tuple(sizes), (), existing=True)
    return problems[:1]


def _has(group: ExistingNodes, labels: Mapping[str, str]) -> bool:
    return labels.items() <= group.labels.items()


def group_name(group: ExistingNodes, index: int) -> str:
    """As the nodes of a group are called in a plan."""
    return f"{group.labels.get('nvidia.com/gpu.product', 'GPU node')} [group {index + 1}]"


def _node_of(
    group: ExistingNodes, index: int, partition: PartitionSpec | None, where: Place
) -> NodeSize | Problem | None:
    """A node of the group as one workspace uses it; why it cannot; None if its labels are wrong for everybody."""
    name = group_name(group, index)
    profile = partition.profile or "" if partition and partition.mode == "mig" else ""
    here = where.at("resource", "partition")
    try:
        node = node_from_labels(group.labels, name, profile=profile)
    except ValueError as wrong:
        if _wrong_labels(group, name):
            return None
        do = "choose nodes that are divided so, or remove partition"
        return here.at("profile").problem(found=f'"{profile}" on {name}', allowed=str(wrong), do=do)
    if partition is None:
        return node
    try:
        return with_mig(node, profile) if partition.mode == "mig" else with_gpus(node, partition.count or 1)
    except UnknownMigProfile as unknown:
        profiles = ", ".join(unknown.profiles) or "none: the GPU cannot be divided"
        return here.at("profile").problem(
            found=f'"{partition.profile}"', allowed=f"a MIG profile of {node.gpu.name}: {profiles}", do="choose one"
        )
    except ValueError as wrong:
        return here.at("count").problem(
            found=str(partition.count), allowed=f"at most {node.gpus}: {wrong}", do=f"write {node.gpus} or less"
        )


def _wrong_labels(group: ExistingNodes, name: str) -> str:
    """What is wrong with a group's labels whoever uses its nodes; empty if nothing is."""
    slices = slices_of(group.labels)
    try:
        node_from_labels(group.labels, name, profile=slices[0] if slices else "")
    except ValueError as wrong:
        return str(wrong)
    return ""


def wrong_labels(spec: KubernetesSpec) -> list[Problem]:
    """Groups of existing nodes that cannot be read."""
    return [
        Place(f"modelyard:kubernetes.existing[{index}].labels").problem(
            found=", ".join(sorted(group.labels)) or "no label",
            allowed=f"the labels of NVIDIA's GPU feature discovery: {wrong}",
            do="copy them from kubectl get node NAME -o yaml",
        )
        for index, group in enumerate(spec.existing)
        if (wrong := _wrong_labels(group, group_name(group, index)))
    ]
