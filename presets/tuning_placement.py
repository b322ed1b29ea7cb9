"""Whether a tuning job fits on a GPU of a node size, and how it is set up so that it does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from presets.catalog import Preset, TuningMethod
from presets.engines import default_dtype, gpu_forbids
from presets.memory import gib, parameter_count
from presets.node_sizes import NodeSize
from presets.parallelism import room_of_gpu
from presets.placement import Misfit
from presets.price import Price
from presets.serve_config import LoadQuantization
from presets.tuning_memory import TuningMemory, tuning_memory

SEQUENCE_LENGTH = 1024
"""Tokens of one example where nobody asks for a number: max_length of trl's SFTConfig."""

KAITO_RANK = 8
"""Rank where nobody asks for one: KAITO's lora-params.yaml and qlora-params.yaml."""


@dataclass(frozen=True, kw_only=True)
class TuningDemand:
    """What is asked of one tuning job; None: it is chosen."""

    preset: Preset
    method: TuningMethod
    rank: int = KAITO_RANK
    targets: tuple[str, ...] = ()
    """Empty: the preset's."""
    weight_bits: Literal[4, 8] = 4
    """Of the weights that QLoRA keeps."""
    sequence_length: int | None = None
    batch_size: int = 1
    """Examples at the same time on each GPU."""
    gradient_checkpointing: bool | None = None


@dataclass(frozen=True, kw_only=True)
class TuningPlacement:
    """A job on one node, with a copy of the model on each of its GPUs."""

    node: NodeSize
    sequence_length: int
    batch_size: int
    gradient_checkpointing: bool
    quantization: LoadQuantization | None
    """Of the weights; None: they stay in 16 bits."""
    need: TuningMemory
    """On each GPU."""
    room: int
    price: Price | None
    binding: str
    """What keeps it from being set up otherwise; empty: nothing does."""
    nodes: int = 1
    """A job is not spread over several: KAITO's rule too."""
    replicas: int = 1

    @property
    def per_hour(self) -> float | None:
        return None if self.price is None else self.price.per_hour


def place_tuning(
    demand: TuningDemand, node: NodeSize, price: Price | None = None, *, trusting: bool = False
) -> TuningPlacement | Misfit:
    """The job on one node of this size: without gradient checkpointing where that fits, else with it, unless given.

    trusting: with it, although memory does not suffice by this arithmetic.
    """
    quantized: LoadQuantization = "nf4" if demand.weight_bits == 4 else "int8"
    quantization = quantized if demand.method == "qlora" else None
    reason = gpu_forbids(demand.preset, node.gpu, default_dtype(node.gpu), quantization)
    if reason:
        return Misfit(node=node, reason=reason, price=price)
    length = min(demand.sequence_length or SEQUENCE_LENGTH, demand.preset.max_context)
    room = room_of_gpu(node.gpu, "transformers")
    asked = demand.gradient_checkpointing
    choices = (False, True) if asked is None else (asked,)
    try:
        needs = [(checkpointing, _need(demand, length, checkpointing)) for checkpointing in choices]
    except ValueError as unknown:
        return Misfit(node=node, reason=str(unknown), price=price)
    for checkpointing, need in needs:
        if need.total <= room or (trusting and checkpointing == choices[-1]):
            return TuningPlacement(
                node=node,
                sequence_length=length,
                batch_size=demand.batch_size,
                gradient_checkpointing=checkpointing,
                quantization=quantization,
                need=need,
                room=room,
                price=price,
                binding=_binding(checkpointing, asked, needs[0][1], room),
            )
    least = needs[-1][1]
    return Misfit(
        node=node,
        reason=f"a GPU would need {least}, and {node.gpu.name} has {gib(room)} GiB to plan for; a job has one node",
        price=price,
    )


def _binding(checkpointing: bool, asked: bool | None, without: TuningMemory, room: int) -> str:
    if checkpointing and asked is None:
        return (
            "activations: gradient checkpointing is on, because without it a GPU would need "
            f"{gib(without.total)} of {gib(room)} GiB"
        )
    return ""


def _need(demand: TuningDemand, length: int, checkpointing: bool) -> TuningMemory:
    return tuning_memory(
        demand.preset.shape,
        parameters=parameter_count(demand.preset),
        method=demand.method,
        targets=demand.targets or demand.preset.lora_targets,
        rank=demand.rank,
        sequence_length=length,
        batch_size=demand.batch_size,
        gradient_checkpointing=checkpointing,
        weight_bits=demand.weight_bits,
        on_gpu=True,
    )
