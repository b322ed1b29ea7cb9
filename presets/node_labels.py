"""Existing nodes, from the labels that NVIDIA GPU feature discovery gives them.

Sources: README of NVIDIA/k8s-device-plugin, section gpu-feature-discovery, for the labels, for what migStrategy single
and mixed make of them, and for the suffix -SHARED; KAITO v0.12, pkg/sku/helpers.go, for the cuda.compute labels.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from presets.node_sizes import GpuModel, Interconnect, NodeSize, UnknownNodeSize, find_node_size, gpu_models, slice_of

PRODUCT = "nvidia.com/gpu.product"
COUNT = "nvidia.com/gpu.count"
MEMORY = "nvidia.com/gpu.memory"
COMPUTE = ("nvidia.com/gpu.compute", "nvidia.com/cuda.compute")
INSTANCE_TYPE = "node.kubernetes.io/instance-type"

UNKNOWN_GPU_USABLE = 0.97
"""Part of an unknown GPU's memory that is taken as usable. The label counts what nvidia-smi shows; CUDA reports 0.5 %
(H100) to 3 % (T4) less than that, but for Azure's vGPU of an A10, which is in the catalogue."""

_SLICES = re.compile(r"nvidia\.com/mig-(?P<profile>[^/]+)\.count")
_REPLICAS = re.compile(r"nvidia\.com/(gpu|mig-[^/]+)\.replicas")


def node_from_labels(labels: Mapping[str, str], name: str = "", *, profile: str = "") -> NodeSize:
    """A node that is there already. `name`: the node's; otherwise its instance type, or what GPUs it has.

    A node divided into MIG slices is described by its slices. `profile` says which, where there are several kinds
    (migStrategy mixed). A GPU that is not in the catalogue is known by its labels.
    Raises ValueError with a sentence that names every label that is missing or wrong, and what to do.

    >>> node_from_labels({PRODUCT: "NVIDIA-A100-SXM4-80GB", COUNT: "8", MEMORY: "81920"}).gpu.usable_gib
    79.14
    """
    node = name or "the node"
    _refuse_shared(labels, node)
    product, mig, sliced = labels.get(PRODUCT, ""), slices_of(labels), ""
    count, memory = COUNT, MEMORY
    if "-MIG-" in product:
        product, _, sliced = product.partition("-MIG-")
        if profile and profile != sliced:
            raise ValueError(f"{node} is divided into MIG slices {sliced}, not {profile}; ask for {sliced}")
    elif mig:
        sliced = _chosen(mig, profile, node)
        count, memory = f"nvidia.com/mig-{sliced}.count", f"nvidia.com/mig-{sliced}.memory"
    elif profile:
        raise ValueError(f"{node} is not divided into MIG slices; divide it into {profile}, or plan for whole GPUs")
    known = find_gpu(product)
    _require(labels, (PRODUCT, count, memory), known, node)
    gpus, memory_gib = _whole(labels, count, node), round(_whole(labels, memory, node) / 1024, 2)
    compute = _compute(labels, node)
    gpu = _gpu(known or _unknown_gpu(product, memory_gib), memory_gib, compute, known=known is not None)
    if sliced:
        gpu = _slice(known, gpu, sliced, memory_gib)
    size = _size(labels)
    return NodeSize(
        name=name or labels.get(INSTANCE_TYPE, "") or f"{gpus} x {gpu.name}",
        gpu=gpu,
        gpus=gpus,
        vcpus=size.vcpus if size else 0,
        ram_gib=size.ram_gib if size else 0,
        nvme_gib=size.nvme_gib if size else 0,
        interconnect=_interconnect(labels[PRODUCT], size, sliced),
        existing=True,
    )


def find_gpu(product: str) -> GpuModel | None:
    """The GPU that a value of the label nvidia.com/gpu.product means, or None if it is not in the catalogue.

    >>> find_gpu("NVIDIA-A10-24Q").name, find_gpu("NVIDIA-A10G")
    ('A10', None)
    """
    plain = _plain(product)
    fitting = [
        (len(prefix), gpu)
        for gpu in gpu_models().values()
        for prefix in map(_plain, gpu.products)
        if plain == prefix or plain.startswith(f"{prefix}-")
    ]
    return max(fitting, key=lambda found: found[0])[1] if fitting else None


def _plain(product: str) -> str:
    """Older drivers leave NVIDIA- out, newer ones Tesla-."""
    return product.lower().removeprefix("nvidia-").removeprefix("tesla-")


def _refuse_shared(labels: Mapping[str, str], node: str) -> None:
    """Pods that share a GPU by time slicing or MPS share its memory too, so that no plan of it would hold."""
    shared = labels.get(PRODUCT, "").endswith("-SHARED")
    # Older versions of the device plugin set no strategy, and count the pods that a GPU is offered to as replicas.
    shared = shared or any(_REPLICAS.fullmatch(label) and labels[label] not in ("", "0", "1") for label in labels)
    if shared or labels.get("nvidia.com/gpu.sharing-strategy", "none") not in ("", "none"):
        raise ValueError(
            f"the GPUs of {node} are shared between pods (time slicing or MPS), and nothing keeps the others from the "
            "memory that a plan counts on; use nodes without sharing, or divided into MIG slices"
        )


def slices_of(labels: Mapping[str, str]) -> tuple[str, ...]:
    """Profiles of which the node has slices, under migStrategy mixed."""
    found = {match["profile"]: count for label, count in labels.items() if (match := _SLICES.fullmatch(label))}
    return tuple(sorted(profile for profile, count in found.items() if count != "0"))


def _chosen(mig: tuple[str, ...], profile: str, node: str) -> str:
    if not profile and len(mig) == 1:
        return mig[0]
    if profile not in mig:
        which = f"but none of {profile}" if profile else "of several kinds"
        raise ValueError(f"{node} has MIG slices {which}; ask for {' or '.join(mig)}")
    return profile


def _require(labels: Mapping[str, str], needed: tuple[str, ...], known: GpuModel | None, node: str) -> None:
    missing = [label for label in needed if not labels.get(label)]
    if known is None and labels.get(PRODUCT) and not any(f"{label}.major" in labels for label in COMPUTE):
        missing.append(f"{COMPUTE[0]}.major")
    if missing:
        *others, last = missing
        listed = f"{', '.join(others)} and {last}" if others else last
        raise ValueError(
            f"{node} lacks the label{'s' if len(missing) > 1 else ''} {listed}; install NVIDIA GPU "
            "feature discovery, which the GPU operator brings, or set them with kubectl label node"
        )


def _whole(labels: Mapping[str, str], label: str, node: str) -> int:
    text = labels[label]
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        unit = " of MiB" if label.endswith(".memory") else ""
        raise ValueError(f"label {label} of {node} is {text!r}; it must be a whole number{unit} above 0")
    return int(text)


def _compute(labels: Mapping[str, str], node: str) -> float | None:
    for label in COMPUTE:
        major, minor = labels.get(f"{label}.major"), labels.get(f"{label}.minor", "0")
        if major is not None:
            if not re.fullmatch(r"\d{1,2}\.\d", f"{major}.{minor}", flags=re.ASCII):
                raise ValueError(f"labels {label}.major and .minor of {node} are {major!r} and {minor!r}, not digits")
            return float(f"{major}.{minor}")
    return None


def _unknown_gpu(product: str, memory_gib: float) -> GpuModel:
    name = product.removeprefix("NVIDIA-")
    usable = _floor(memory_gib * UNKNOWN_GPU_USABLE)
    return GpuModel(name=name, vendor="nvidia", memory_gib=memory_gib, usable_gib=usable, compute_capability=0)


def _gpu(model: GpuModel, memory_gib: float, compute: float | None, *, known: bool) -> GpuModel:
    """The model with what the labels say. A vGPU has a part of a board's memory, and of what can be used of it."""
    usable = model.usable_gib
    if known and memory_gib < usable:
        usable = _floor(memory_gib * usable / model.memory_gib)
    changes = {"memory_gib": memory_gib, "usable_gib": usable}
    return model.model_copy(update=changes if compute is None else {**changes, "compute_capability": compute})


def _slice(known: GpuModel | None, gpu: GpuModel, profile: str, memory_gib: float) -> GpuModel:
    """Labels count a slice as nvidia-smi does, which is what can be used; for known ones the lowest seen is taken."""
    slices = known.mig.get(profile) if known else None
    usable = min(slices.memory_gib, memory_gib) if slices else _floor(memory_gib * UNKNOWN_GPU_USABLE)
    model = gpu.model_copy(update={"name": known.name}) if known else gpu
    return slice_of(model, profile, memory_gib=memory_gib, usable_gib=usable)


def _floor(gib: float) -> float:
    return math.floor(gib * 100) / 100


def _size(labels: Mapping[str, str]) -> NodeSize | None:
    """What the labels do not say follows from the instance type, if it is one of the catalogue."""
    try:
        return find_node_size(labels.get(INSTANCE_TYPE, ""))
    except UnknownNodeSize:
        return None


def _interconnect(product: str, size: NodeSize | None, sliced: str) -> Interconnect:
    """SXM boards, also those that are named by their HBM3, are always linked; of others the labels do not say it."""
    if sliced:
        return "pcie"
    if size:
        return size.interconnect
    return "nvlink" if "SXM" in product or product.endswith("HBM3") else "pcie"
