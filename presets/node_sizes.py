"""The catalogue of nodes with GPUs: reads and checks the facts in gpus/*.yaml, and finds a size by name."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, Literal, Self, cast

from pydantic import Field, model_validator

from presets.facts import Fact, read_facts
from presets.nearest import nearest

GPUS = Path(__file__).parent / "gpus"

Interconnect = Literal["pcie", "pcie-infiniband", "nvlink", "nvlink-infiniband"]
"""Before the dash: how the GPUs of one node reach each other; nvlink may be pairs only. -infiniband: nodes reach each
other by RDMA; otherwise by Ethernet."""


class MigProfile(Fact):
    """Slices of one kind that a GPU can be divided into."""

    memory_gib: float = Field(gt=0)
    """GiB of one slice that CUDA can use."""
    per_gpu: int = Field(ge=1, le=7)
    """Slices of this kind that a GPU holds at most."""


class GpuModel(Fact):
    """A GPU, or where mig_profile is set, one slice of it."""

    name: str
    vendor: Literal["nvidia", "amd"]
    memory_gib: float = Field(gt=0)
    """GiB, nominal."""
    usable_gib: float = Field(gt=0)
    """GiB that CUDA reports as total memory: torch.cuda.get_device_properties().total_memory."""
    compute_capability: float = Field(ge=0)
    """8.0 for an A100; 0 where there is no CUDA."""
    products: tuple[str, ...] = Field(default=(), strict=False)
    """Values of the node label nvidia.com/gpu.product, or what they start with."""
    mig: dict[str, MigProfile] = Field(default_factory=dict[str, MigProfile])
    """By profile, such as 1g.10gb; empty: it cannot be divided."""
    mig_profile: str = ""
    """Of the slice that this is; empty: a whole GPU. Slices cannot work together on one model."""

    @model_validator(mode="after")
    def _usable_is_part_of_all(self) -> Self:
        if self.usable_gib > self.memory_gib:
            raise ValueError(f"{self.name} cannot use {self.usable_gib} GiB of {self.memory_gib} GiB")
        return self


class NodeSize(Fact):
    """A kind of node: a size that a cloud sells, or existing nodes as their labels describe them."""

    name: str
    gpu: GpuModel
    gpus: int = Field(ge=1)
    """GPUs, or slices of them, of one node."""
    vcpus: int = Field(ge=0)
    """0: not known, as labels do not say it."""
    ram_gib: float = Field(ge=0)
    """0: not known."""
    nvme_gib: int = Field(default=0, ge=0)
    """GiB of all NVMe disks in the node, empty when it starts; 0: none."""
    interconnect: Interconnect = "pcie"
    family: str = ""
    """Whose vCPUs Azure counts against a quota; empty for existing nodes."""
    aliases: tuple[str, ...] = Field(default=(), strict=False)
    """Further names that it is known by."""
    retired: str = ""
    """A sentence, if the cloud does not offer it any more."""
    existing: bool = False
    """True for nodes that are there already, described by labels."""

    @property
    def size_name(self) -> str:
        """The name without what with_mig and with_gpus add to it: what is paid for is the whole node."""
        return self.name.partition(" (")[0]


class UnknownNodeSize(LookupError):
    """No size has this name. `nearest`: names of sizes that look like it, best first."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.nearest = nearest(name, node_sizes())
        super().__init__(f"no node size is called {name!r}")


class UnknownMigProfile(LookupError):
    """A GPU cannot be divided like this. `profiles`: those that it can be divided into."""

    def __init__(self, gpu: GpuModel, profile: str) -> None:
        self.profile = profile
        self.profiles = tuple(gpu.mig)
        known = f"it has {', '.join(gpu.mig)}" if gpu.mig else "it cannot be divided"
        super().__init__(f"{gpu.name} has no MIG profile {profile!r}: {known}")


@functools.cache
def gpu_models() -> dict[str, GpuModel]:
    """Every GPU by its name, sorted. Read on first use, as node_sizes."""
    return {name: GpuModel.model_validate({"name": name, **facts}) for name, facts in sorted(_read("models.yaml"))}


@functools.cache
def node_sizes() -> dict[str, NodeSize]:
    """Every size by its name, sorted. Read on first use, so that importing this module reads no file."""
    sizes: dict[str, NodeSize] = {}
    for name, facts in sorted(_read("azure_sizes.yaml")):
        sizes[name] = NodeSize.model_validate({"name": name, **facts, "gpu": gpu_models()[facts["gpu"]]})
    return sizes


def find_node_size(name: str) -> NodeSize:
    """The size that `name` or an alias of it means, in any case of letters. Raises UnknownNodeSize.

    >>> find_node_size("standard_nd96asr_a100_v4").name
    'Standard_ND96asr_v4'
    """
    found = _names().get(name.lower())
    if found is None:
        raise UnknownNodeSize(name)
    return node_sizes()[found]


def with_mig(node: NodeSize, profile: str) -> NodeSize:
    """The node with each of its GPUs divided into slices of one profile; a node of such slices as it is.

    Raises UnknownMigProfile.

    >>> sliced = with_mig(find_node_size("Standard_NC24ads_A100_v4"), "1g.10gb")
    >>> sliced.name, sliced.gpus, sliced.gpu.usable_gib
    ('Standard_NC24ads_A100_v4 (MIG 1g.10gb)', 7, 9.5)
    """
    if profile and profile == node.gpu.mig_profile:
        return node
    slices = node.gpu.mig.get(profile)
    if slices is None:
        raise UnknownMigProfile(node.gpu, profile)
    gpu = slice_of(node.gpu, profile, memory_gib=slices.memory_gib, usable_gib=slices.memory_gib)
    name = f"{node.size_name} (MIG {profile})"
    changes = {"name": name, "gpu": gpu, "gpus": node.gpus * slices.per_gpu, "interconnect": "pcie"}
    return node.model_copy(update=changes)


def slice_of(gpu: GpuModel, profile: str, *, memory_gib: float, usable_gib: float) -> GpuModel:
    """A GPU's slice of one profile. Raises ValueError if more is usable than there is."""
    return GpuModel(
        name=f"{gpu.name} MIG {profile}",
        vendor=gpu.vendor,
        memory_gib=memory_gib,
        usable_gib=usable_gib,
        compute_capability=gpu.compute_capability,
        products=gpu.products,
        mig_profile=profile,
    )


def with_gpus(node: NodeSize, count: int) -> NodeSize:
    """The node with `count` of its GPUs; the others stay free for others. Raises ValueError if it has fewer.

    >>> with_gpus(find_node_size("Standard_NC96ads_A100_v4"), 2).name
    'Standard_NC96ads_A100_v4 (2 of 4 GPUs)'
    """
    if not 1 <= count <= node.gpus:
        raise ValueError(f"{node.name} has {node.gpus} {node.gpu.name} in each node, so {count} cannot be used")
    if count == node.gpus:
        return node
    return node.model_copy(update={"name": f"{node.size_name} ({count} of {node.gpus} GPUs)", "gpus": count})


def _read(file: str) -> list[tuple[str, dict[str, Any]]]:
    entries = cast("dict[str, dict[str, Any]]", read_facts(GPUS / file))
    return list(entries.items())


@functools.cache
def _names() -> dict[str, str]:
    by_alias = {alias.lower(): name for name, size in node_sizes().items() for alias in size.aliases}
    return by_alias | {name.lower(): name for name in node_sizes()}
