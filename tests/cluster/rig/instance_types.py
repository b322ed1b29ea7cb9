"""The kinds of node that Karpenter may make, from the catalogue of node sizes and its prices."""

from __future__ import annotations

from presets.node_sizes import find_node_size
from presets.price import list_prices
from tests.cluster.rig.api import Json

GPU_SIZES = (
    "Standard_NC24ads_A100_v4",
    "Standard_NC48ads_A100_v4",
    "Standard_NC96ads_A100_v4",
    "Standard_NV36ads_A10_v5",
    "Standard_NC6s_v3",
)
SYSTEM_SIZE = "Standard_D8s_v5"
"""The one size without GPUs; the catalogue has none."""

_SYSTEM_PRICE = 0.384
"""US$ an hour: its list price in eastus, 2024-08."""

ZONES = ("eastus-1", "eastus-2")
_POD_SLOTS = "110"
_DISK_GIB = 100


def instance_types() -> list[Json]:
    """What Karpenter's kwok provider reads from its --instance-types-file-path."""
    return [_instance_type(name) for name in (SYSTEM_SIZE, *GPU_SIZES)]


def resources(size: str) -> dict[str, str]:
    """What a node of a size has, as the capacity of a Node object."""
    if size == SYSTEM_SIZE:
        return {"cpu": "8", "memory": "32Gi", "pods": _POD_SLOTS, "ephemeral-storage": f"{_DISK_GIB}Gi"}
    node = find_node_size(size)
    return {
        "cpu": str(node.vcpus),
        "memory": f"{node.ram_gib:g}Gi",
        "pods": _POD_SLOTS,
        "ephemeral-storage": f"{_DISK_GIB + node.nvme_gib}Gi",
        "nvidia.com/gpu": str(node.gpus),
    }


def _instance_type(size: str) -> Json:
    return {
        "name": size,
        "architecture": "amd64",
        "operatingSystems": ["linux"],
        "resources": resources(size),
        "offerings": [
            _offering(zone, capacity, _price(size, spot=capacity == "spot"))
            for zone in ZONES
            for capacity in ("on-demand", "spot")
        ],
    }


def _price(size: str, *, spot: bool) -> float:
    if size == SYSTEM_SIZE:
        return _SYSTEM_PRICE / 5 if spot else _SYSTEM_PRICE
    price = list_prices().of(find_node_size(size), spot=spot)
    assert price is not None, f"{size} has no price"
    return price.per_hour


def _offering(zone: str, capacity: str, price: float) -> Json:
    return {
        "Price": price,
        "Available": True,
        "Requirements": [
            {"key": "karpenter.sh/capacity-type", "operator": "In", "values": [capacity]},
            {"key": "topology.kubernetes.io/zone", "operator": "In", "values": [zone]},
        ],
    }
