"""Whether a model fits on nodes of one size, on how many, and how it is divided there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from presets.catalog import Preset
from presets.engines import EngineName, default_dtype, default_engine, forbidden
from presets.memory import MemoryNeed, gib
from presets.node_sizes import NodeSize
from presets.parallelism import Load, Split, most_gpus, need_of_gpu, room_of_gpu, splits, tensor_sizes
from presets.price import Price
from presets.serve_config import DEFAULT_RANK, Dtype, LoadQuantization

DEFAULT_CONTEXT = 2048
"""Tokens that must fit where nobody asks for a number; KAITO plans for the same."""

DEFAULT_SEQUENCES = 4
"""Sequences of DEFAULT_CONTEXT that must fit where nobody asks for a number: one user is no service."""

LONG_SEQUENCES = 2
"""Sequences that fit of a context that is chosen: as long as it can be, without one long request shutting out others.
Caches are paged, so that many more of shorter ones fit."""

MOST_SEQUENCES = 256
"""Sequences that an engine computes at the same time at most: vLLM's default of --max-num-seqs on small GPUs."""

MOST_NODES = 64
"""Nodes of one replica beyond which a plan is of no use to anybody."""

ADAPTER_SLOTS = 4
"""Adapters that a context which is chosen leaves room for, and multiples of it."""

_ROUND = 256
"""A context that is chosen is a multiple of it, so that it does not look measured to the token."""


@dataclass(frozen=True, kw_only=True)
class Demand:
    """What is asked of one workspace's model; None: nobody asked, so it is chosen."""

    preset: Preset
    context: int | None = None
    sequences: int | None = None
    engine: EngineName | None = None
    dtype: Dtype | None = None
    quantization: LoadQuantization | None = None
    adapter_ranks: tuple[int, ...] = ()
    replicas: int | None = None
    nodes: int | None = None
    tensor: int | None = None
    """As in Load."""
    utilization: float | None = None
    """As in Load."""

    @property
    def least_context(self) -> int:
        return self.context or min(self.preset.max_context, DEFAULT_CONTEXT)

    @property
    def least_sequences(self) -> int:
        """A context that somebody asks for must fit once; more only where that is asked for too."""
        return self.sequences or (1 if self.context else DEFAULT_SEQUENCES)


@dataclass(frozen=True, kw_only=True)
class Placement:
    """One model on nodes of one size."""

    node: NodeSize
    nodes: int
    """Of all replicas together."""
    nodes_of_replica: int
    replicas: int
    split: Split
    load: Load
    need: MemoryNeed
    """On the fullest GPU."""
    room: int
    """Bytes of one GPU that may be planned for."""
    price: Price | None
    """Of one node for an hour; None: not known."""
    binding: str
    """What keeps the plan from being smaller, or from holding more; empty: nothing does."""

    @property
    def gpus(self) -> int:
        """That are paid for."""
        return self.nodes * self.node.gpus

    @property
    def per_hour(self) -> float | None:
        return None if self.price is None else self.nodes * self.price.per_hour


@dataclass(frozen=True, kw_only=True)
class Misfit:
    """Why a model cannot be on nodes of one size."""

    node: NodeSize
    reason: str
    """One sentence without its full stop."""
    price: Price | None = None
    """Of one node for an hour; None: not known."""
    needs_nodes: int | None = None
    """Nodes of one replica on which it would fit, where it is only their number that is too small."""


def place(demand: Demand, node: NodeSize, price: Price | None = None, *, trusting: bool = False) -> Placement | Misfit:
    """The fewest nodes of this size that hold the demand, and the longest context and most sequences that then fit.

    trusting: take the first way to divide the model although memory does not suffice by this arithmetic.
    """
    engine = demand.engine or default_engine(node.gpu, demand.quantization)
    dtype = demand.dtype or default_dtype(node.gpu)
    reason = forbidden(demand.preset, node.gpu, engine, dtype, demand.quantization)
    if reason:
        return Misfit(node=node, reason=reason, price=price)
    load = Load(
        preset=demand.preset,
        engine=engine,
        dtype=dtype,
        quantization=demand.quantization,
        context=demand.least_context,
        sequences=demand.least_sequences,
        adapter_ranks=demand.adapter_ranks,
        tensor=demand.tensor,
        utilization=demand.utilization,
    )
    found = _first_fit(load, node, trusting=trusting)
    if isinstance(found, Misfit):
        return replace(found, price=price)
    nodes, split, why = found
    counted = _count(demand, node, nodes, split)
    if isinstance(counted, Misfit):
        return replace(counted, price=price)
    if counted.nodes_of_replica != nodes:
        split = next(splits(demand.preset, engine, node, counted.nodes_of_replica, demand.tensor), split)
        why = f"the number of nodes that is asked for: {nodes} of the {counted.nodes_of_replica} would do"
    room = room_of_gpu(node.gpu, engine, demand.utilization)
    roomy = replace(load, adapter_ranks=with_slots(load.preset, load.adapter_ranks))
    stretched = replace(_stretch(roomy, demand, split, room), adapter_ranks=load.adapter_ranks)
    return Placement(
        node=node,
        nodes=counted.nodes,
        nodes_of_replica=counted.nodes_of_replica,
        replicas=counted.replicas,
        split=split,
        load=stretched,
        need=need_of_gpu(stretched, split),
        room=room,
        price=price,
        binding="" if trusting else why or _limit(stretched, demand),
    )


def _first_fit(load: Load, node: NodeSize, *, trusting: bool) -> tuple[int, Split, str] | Misfit:
    """Nodes of one replica, its division, and what kept it from being smaller; the smallest that fits."""
    room, most = room_of_gpu(node.gpu, load.engine, load.utilization), most_gpus(load.engine, node)
    smaller: list[tuple[int, str]] = []
    least: MemoryNeed | None = None
    for nodes in range(1, MOST_NODES + 1):
        for split in splits(load.preset, load.engine, node, nodes, load.tensor):
            need = need_of_gpu(load, split)
            if need.total <= room or trusting:
                why = [text for gpus, text in smaller if gpus < split.gpus][-1:]
                return nodes, split if nodes > 1 else _widened(load, node, split, room), "".join(why)
            least, where = need, _on(node, split, nodes)
            text = f"{_largest(need)}: on {where} a GPU would need {need}, and has {gib(room)} GiB"
            smaller.append((split.gpus, text))
        if node.gpus * (nodes + 1) > most:
            break
    if least is None:
        possible = ", ".join(map(str, tensor_sizes(load.preset.shape, min(node.gpus, most))))
        reason = f"tensor parallel size {load.tensor} is asked for, and the model on {node.name} can have {possible}"
        return Misfit(node=node, reason=reason)
    wider = f"even {MOST_NODES} nodes are too few"
    if most == 1:
        one = f"{load.engine} takes 1 GPU a replica"
        wider = "slices of a GPU cannot share a model" if node.gpu.mig_profile else one
    return Misfit(
        node=node, reason=f"a GPU would need {least}, and {node.gpu.name} has {gib(room)} GiB to plan for; {wider}"
    )


def _widened(load: Load, node: NodeSize, smallest: Split, room: int) -> Split:
    """The division of a replica within one node: the smallest if others fit beside it, else one that leaves no GPU of
    the node idle that can help: by sharing layers rather than by stages, which wait for each other."""
    if node.gpus // smallest.gpus > 1:
        return smallest
    fitting = [split for split in splits(load.preset, load.engine, node, 1, load.tensor) if _fits(load, split, room)]
    return min(fitting, key=lambda split: (split.pipeline, -split.tensor), default=smallest)


def _largest(need: MemoryNeed) -> str:
    name, _ = max(need.parts().items(), key=lambda part: part[1])
    return name


def _on(node: NodeSize, split: Split, nodes: int) -> str:
    return f"{split.gpus} x {node.gpu.name}" if nodes == 1 else f"{nodes} nodes"


@dataclass(frozen=True, kw_only=True)
class _Count:
    replicas: int
    nodes: int
    """Of all replicas."""
    nodes_of_replica: int


def _count(demand: Demand, node: NodeSize, fewest: int, split: Split) -> _Count | Misfit:
    """Replicas and nodes, where one replica needs `fewest` nodes at least.

    A number of nodes that is asked for is used as it is: as many replicas as divide it evenly, each on enough nodes.
    """
    in_a_node, wanted = node.gpus // split.gpus if fewest == 1 else 0, demand.nodes
    if demand.replicas is not None:
        return _count_of_replicas(demand.replicas, wanted, node, fewest, in_a_node)
    total = wanted or fewest
    if total < fewest:
        words = f"a replica needs {fewest} x {node.name}, and resource.count is {total}"
        return Misfit(node=node, reason=words, needs_nodes=fewest)
    if in_a_node:
        return _Count(replicas=total * in_a_node, nodes=total, nodes_of_replica=1)
    replicas = max(count for count in range(1, total // fewest + 1) if total % count == 0)
    return _Count(replicas=replicas, nodes=total, nodes_of_replica=total // replicas)


def _count_of_replicas(
    replicas: int, wanted: int | None, node: NodeSize, fewest: int, in_a_node: int
) -> _Count | Misfit:
    least = -(-replicas // in_a_node) if in_a_node else replicas * fewest
    if wanted in (None, least):
        return _Count(replicas=replicas, nodes=least, nodes_of_replica=fewest)
    if in_a_node and least <= wanted <= replicas:
        return _Count(replicas=replicas, nodes=wanted, nodes_of_replica=1)
    if not in_a_node and wanted > least and wanted % replicas == 0:
        return _Count(replicas=replicas, nodes=wanted, nodes_of_replica=wanted // replicas)
    need = f"{replicas} replica needs" if replicas == 1 else f"{replicas} replicas need"
    words = f"{need} {least} x {node.name}, and resource.count is {wanted}"
    return Misfit(node=node, reason=words, needs_nodes=least)


def with_slots(preset: Preset, ranks: tuple[int, ...]) -> tuple[int, ...]:
    """Room for adapters to come, so that adding one does not shorten the context, which would take new replicas.

    The ranks of the adapters that there are and of those to come.
    """
    if not preset.lora_targets:
        return ranks
    slots = -(-max(len(ranks), 1) // ADAPTER_SLOTS) * ADAPTER_SLOTS
    return ranks + (DEFAULT_RANK,) * (slots - len(ranks))


def _stretch(load: Load, demand: Demand, split: Split, room: int) -> Load:
    """The same load with what nobody asked for as large as it fits."""
    limit = load.preset.max_context
    if demand.context is None:
        few = load if demand.sequences else replace(load, sequences=LONG_SEQUENCES)
        longer = _longest(few, split, room, limit)
        load = replace(few, context=longer) if longer > load.context else load
    if demand.sequences is None:
        more = _most(load.sequences, MOST_SEQUENCES, lambda count: _fits(replace(load, sequences=count), split, room))
        load = replace(load, sequences=more)
    return load


def _longest(load: Load, split: Split, room: int, limit: int) -> int:
    if limit <= load.context or _fits(replace(load, context=limit), split, room):
        return max(limit, load.context)
    steps = _most(
        load.context // _ROUND,
        limit // _ROUND,
        lambda count: _fits(replace(load, context=count * _ROUND), split, room),
    )
    return max(load.context, steps * _ROUND)


def _fits(load: Load, split: Split, room: int) -> bool:
    return need_of_gpu(load, split).total <= room


def _limit(load: Load, demand: Demand) -> str:
    if load.context < load.preset.max_context and demand.context is None:
        return f"KV cache: {load.sequences} sequences of {load.context:,} tokens are what is left room for"
    if load.sequences < MOST_SEQUENCES and demand.sequences is None:
        many = "sequence" if load.sequences == 1 else "sequences"
        return f"KV cache: no more than {load.sequences} {many} of {load.context:,} tokens"
    return ""


def _most(least: int, most: int, fits: Callable[[int], bool]) -> int:
    """The largest number from `least` to `most` that fits, if all smaller ones do; `least` if no larger one does."""
    low, high = least, most
    while low < high:
        middle = (low + high + 1) // 2
        if fits(middle):
            low = middle
        else:
            high = middle - 1
    return low
