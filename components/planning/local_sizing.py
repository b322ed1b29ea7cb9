"""What a workspace needs of a machine, and whether the machine has it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from components.planning.config import InferenceSpec
from components.planning.local_rules import context_limit
from presets.adapter_memory import copies_bytes, matrices_bytes
from presets.catalog import Preset
from presets.engines import engine_facts
from presets.memory import (
    CPU_PROCESSES_BYTES,
    GIB,
    MACHINE_RESERVE_BYTES,
    MemoryNeed,
    dtype_bytes,
    gib,
    kv_cache_bytes,
    logits_bytes,
    weights_bytes,
)
from presets.placement import DEFAULT_CONTEXT, with_slots
from presets.serve_config import Dtype, LoadQuantization

DEFAULT_SEQUENCES = 32
DEFAULT_DTYPE: Dtype = "bfloat16"


@dataclass(frozen=True, kw_only=True)
class Gpu:
    name: str
    memory_bytes: int


@dataclass(frozen=True, kw_only=True)
class Machine:
    """The node of target local, as the caller found it. memory_bytes: all of it, not what happens to be free."""

    cpus: int
    memory_bytes: int
    gpus: tuple[Gpu, ...] = ()

    @property
    def usable_bytes(self) -> int:
        """Main memory that a plan may use."""
        return max(0, self.memory_bytes - MACHINE_RESERVE_BYTES)

    def describe(self) -> str:
        """Where a replica runs.

        >>> Machine(cpus=2, memory_bytes=8 * 2**30).describe()
        'this machine, 2 CPUs'
        """
        if self.gpus:
            return f"this machine, {self.gpus[0].name}"
        return "this machine, 1 CPU" if self.cpus == 1 else f"this machine, {self.cpus} CPUs"


@dataclass(frozen=True, kw_only=True)
class Sizing:
    """How one replica of a workspace runs, and what it needs."""

    max_context: int
    max_sequences: int
    threads: int
    memory: MemoryNeed
    bytes_per_sequence: int
    """The part of `memory` that grows with max_sequences, for one of them."""

    @property
    def fixed_bytes(self) -> int:
        """Bytes that a replica needs however few sequences it generates."""
        return self.memory.total - self.max_sequences * self.bytes_per_sequence

    def sequences_in(self, bytes_there_are: int) -> int:
        """How many sequences of max_context fit in so much memory, the weights beside them; 0 if none does."""
        return max(0, (bytes_there_are - self.fixed_bytes) // self.bytes_per_sequence)


def place(machine: Machine) -> str:
    """The memory that a replica must fit in, with its size."""
    if machine.gpus:
        return f"{gib(room(machine))} GiB of GPU memory"
    return f"{gib(room(machine))} GiB, this machine's {gib(machine.memory_bytes)} GiB less what Ray and the system take"


def room(machine: Machine) -> int:
    """Bytes that one replica may take: a whole GPU, the smallest since Ray chooses which; or the machine's memory."""
    if machine.gpus:
        return min(gpu.memory_bytes for gpu in machine.gpus)
    return machine.usable_bytes


def size(preset: Preset, inference: InferenceSpec, replicas: int, machine: Machine) -> Sizing:
    """Decide context, sequences and threads of one workspace, and what they need.

    Nothing here depends on the other workspaces or on the number of replicas: adding one must not change, and so
    restart, those that run. For the same reason each engine may use all CPUs; the system shares them out, and sequences
    that are chosen leave room for adapters to come.
    """
    config, ranks = inference.config, tuple(adapter.rank for adapter in inference.adapters)
    dtype = config.dtype or DEFAULT_DTYPE
    max_context = config.max_context or min(context_limit(preset), DEFAULT_CONTEXT)
    load = _Load(preset=preset, dtype=dtype, quantization=config.quantization, context=max_context, adapter_ranks=ranks)
    replicas_in_room = 1 if machine.gpus else replicas
    max_sequences = config.max_sequences or _default_sequences(
        replace(load, adapter_ranks=with_slots(preset, ranks)), replicas_in_room, machine
    )
    return Sizing(
        max_context=max_context,
        max_sequences=max_sequences,
        threads=machine.cpus,
        memory=_need(load, max_sequences, machine),
        bytes_per_sequence=kv_cache_bytes(preset.shape, max_context, dtype) + logits_bytes(preset.shape, 1),
    )


@dataclass(frozen=True, kw_only=True)
class _Load:
    """What one replica holds, however many sequences it generates."""

    preset: Preset
    dtype: Dtype
    quantization: LoadQuantization | None
    context: int
    adapter_ranks: tuple[int, ...]


def _need(load: _Load, sequences: int, machine: Machine) -> MemoryNeed:
    preset, shape, dtype = load.preset, load.preset.shape, load.dtype
    processes = round(engine_facts("transformers").runtime_gib * GIB) if machine.gpus else CPU_PROCESSES_BYTES
    return MemoryNeed(
        weights=weights_bytes(preset, dtype, load.quantization),
        kv_cache=sequences * kv_cache_bytes(shape, load.context, dtype),
        runtime=processes + logits_bytes(shape, sequences),
        adapters=_adapters(load, sequences, machine),
    )


def _adapters(load: _Load, sequences: int, machine: Machine) -> int:
    """What the engine computes with, and its copies where these are in the same memory."""
    shape, targets, each = load.preset.shape, load.preset.lora_targets, dtype_bytes(load.dtype)
    plain = load.quantization is None and load.preset.quantization is None
    matrices = matrices_bytes(shape, targets, load.adapter_ranks, sequences, each, joined=plain)
    return matrices if machine.gpus else matrices + copies_bytes(shape, targets, load.adapter_ranks, each)


def _default_sequences(load: _Load, replicas_in_room: int, machine: Machine) -> int:
    sequences = DEFAULT_SEQUENCES
    while sequences > 1 and replicas_in_room * _need(load, sequences, machine).total > room(machine):
        sequences //= 2
    return sequences
