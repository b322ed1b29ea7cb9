"""One model on one node size: KAITO's nodes beside Modelyard's, and where the difference comes from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Literal

from benchmarks.kaito_estimator import (
    UTILIZATION,
    KaitoModel,
    KaitoSize,
    estimate,
    kaito_models,
    kaito_sizes,
    parallelism,
)
from presets.catalog import Preset, catalog
from presets.engines import engine_facts, forbidden
from presets.memory import GIB, activations_bytes, gib, kv_cache_bytes, weights_bytes
from presets.node_sizes import NodeSize, find_node_size
from presets.parallelism import Load, Split, need_of_gpu, room_of_gpu, tensor_sizes
from presets.placement import Demand, Misfit, Placement, place
from presets.price import list_prices

CONTEXTS = (2048, 8192, 32768)

Verdict = Literal["cheaper", "equal", "more expensive", "only KAITO", "only Modelyard", "neither"]
FailureKind = Literal["AMD GPU", "compute capability", "heads", "stages", "weights", "memory"]


@dataclass(frozen=True)
class Step:
    """What one difference of the arithmetic does to the number of nodes, after those before it."""

    what: str
    before: int | None
    """None: no number of nodes would do."""
    after: int | None

    def __str__(self) -> str:
        return f"{self.what} {_count(self.before)} → {_count(self.after)}"


@dataclass(frozen=True)
class Failure:
    """Why the plan of KAITO would not load."""

    kind: FailureKind
    text: str


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Nodes of one replica for one sequence of `context` tokens; None: not planned."""

    preset: str
    size: str
    context: int
    kaito: int | None
    ours: int | None
    """With KAITO's margin: 84 % of the memory."""
    ours_by_default: int | None
    """With Modelyard's own."""
    price: float | None
    """US$ of one node for an hour; None: not known."""
    steps: tuple[Step, ...]
    """From KAITO's number to ours, and to the default."""
    failure: Failure | None
    """Of KAITO's plan."""
    misfit: str
    """Why Modelyard plans none, with KAITO's margin."""

    @property
    def verdict(self) -> Verdict:
        """Of ours, with the same margin. The size is the same, so that fewer nodes are less money."""
        match self.kaito, self.ours:
            case None, None:
                return "neither"
            case None, _:
                return "only Modelyard"
            case _, None:
                return "only KAITO"
            case kaito, ours:
                return "equal" if ours == kaito else "cheaper" if ours < kaito else "more expensive"

    @property
    def why(self) -> str:
        """Where the difference comes from, and what is wrong with KAITO's plan; "" if there is nothing to say."""
        parts = [str(step) for step in self.steps]
        if self.kaito is None:
            parts.insert(0, "KAITO: GPU memory is too small")
        if self.failure is not None:
            parts.append(f"KAITO's would not load: {self.failure.text}")
        if self.misfit and not (self.failure and self.failure.kind in ("AMD GPU", "compute capability")):
            parts.append(f"Modelyard: {self.misfit}")
        return "; ".join(parts)

    def document(self) -> dict[str, object]:
        return {**asdict(self), "verdict": self.verdict, "why": self.why}


def comparisons() -> Iterator[Comparison]:
    """Every preset on every size of KAITO, with each context that the preset has."""
    for name, preset in catalog().items():
        for size in kaito_sizes():
            for context in contexts_of(preset):
                yield compare(name, size, context)


def contexts_of(preset: Preset) -> list[int]:
    """CONTEXTS, and instead of those that are too long the model's limit.

    >>> from presets.catalog import find_preset
    >>> contexts_of(find_preset("phi-4"))
    [2048, 8192, 16384]
    """
    return sorted({min(context, preset.max_context) for context in CONTEXTS})


def compare(name: str, size: str, context: int) -> Comparison:
    """name: of a preset. size: as KAITO calls it."""
    preset, node = catalog()[name], find_node_size(size)
    model, kaito_size = kaito_models()[preset.repository.name], kaito_sizes()[size]
    kaito = estimate(model, kaito_size, context).nodes()
    demand = Demand(preset=preset, context=context, sequences=1)
    same_margin, by_default = place(demand, _with_margin(node, UTILIZATION)), place(demand, node)
    price = list_prices().of(node)
    return Comparison(
        preset=name,
        size=size,
        context=context,
        kaito=kaito,
        ours=_nodes(same_margin),
        ours_by_default=_nodes(by_default),
        price=None if price is None else price.per_hour,
        steps=tuple(_steps(preset, model, kaito_size, node, context, _nodes(same_margin), _nodes(by_default))),
        failure=None if kaito is None else failure(preset, model, kaito_size, node, kaito, context),
        misfit=same_margin.reason if isinstance(same_margin, Misfit) else "",
    )


def failure(
    preset: Preset, model: KaitoModel, size: KaitoSize, node: NodeSize, nodes: int, context: int
) -> Failure | None:
    """Why vLLM would not start with what KAITO passes to it, on that many nodes; None if it would.

    Memory is counted as presets.parallelism counts it, in what the launch flag leaves of the memory that CUDA reports.
    """
    if node.gpu.vendor != "nvidia":
        return Failure("AMD GPU", f"it waits for nvidia.com/gpu on the node, and a {node.gpu.name} is none")
    if reason := _without_kernels(preset, node):
        return Failure("compute capability", reason)
    tensor, pipeline = parallelism(model, size, nodes)
    if tensor not in tensor_sizes(preset.shape, tensor):
        return Failure("heads", f"tensor parallel size {tensor} does not divide {_undivided(preset, tensor)}")
    if pipeline > preset.shape.layer_count:
        return Failure("stages", f"{pipeline} stages and {preset.shape.layer_count} layers")
    load = Load(preset=preset, engine="vllm", dtype="bfloat16", context=context, sequences=1)
    need = need_of_gpu(load, Split(tensor=tensor, pipeline=pipeline))
    room = node.gpu.usable_gib * size.launch_utilization * GIB
    if need.total <= room:
        return None
    has = f"{size.launch_utilization:.0%} of a {node.gpu.name} are {gib(room)} GiB"
    if need.weights > room:
        return Failure("weights", f"weights alone are too much: a GPU needs {need}, and {has}")
    return Failure("memory", f"a GPU needs {need}, and {has}")


def _without_kernels(preset: Preset, node: NodeSize) -> str:
    """Why vLLM has no kernels for the preset on such a GPU of NVIDIA, however many there are; "" if it has them."""
    return forbidden(preset, node.gpu, "vllm", "bfloat16", None)


def _undivided(preset: Preset, tensor: int) -> str:
    shape = preset.shape
    if shape.heads % tensor:
        return f"{shape.heads} heads"
    heads = {group.kv_heads or shape.kv_heads for group in shape.layers if group.kind in ("full", "sliding")}
    odd = sorted(count for count in heads if count % tensor and tensor % count)
    return f"{odd[0]} heads of keys and values" if odd else f"a feed-forward layer of {shape.intermediate_size}"


def _steps(
    preset: Preset,
    model: KaitoModel,
    size: KaitoSize,
    node: NodeSize,
    context: int,
    ours: int | None,
    by_default: int | None,
) -> Iterator[Step]:
    """KAITO's arithmetic made Modelyard's, one difference after the other; those that change the number of nodes."""
    if node.gpu.vendor != "nvidia":
        return
    at = estimate(model, size, context)
    before = at.nodes()
    if _without_kernels(preset, node):
        if before is not None:
            yield Step("compute capability of the GPU", before, None)
        return
    others = engine_facts("vllm").runtime_gib + (
        activations_bytes(preset.shape, 1, "bfloat16", tensor=parallelism(model, size, before or 1)[0]) / GIB
    )
    for what, changes in (
        ("copies of weights not counted", {"weights_gib": weights_bytes(preset, "bfloat16") / GIB}),
        ("cache by kind of layer", {"cache_gib": kv_cache_bytes(preset.shape, context) / GIB}),
        ("cache divided among all nodes", {"cache_on_every_node": False}),
        ("rounded up, not down plus one", {"floor_plus_one": False}),
        ("runtime and activations instead of 2.3 GiB and 7 %",
         {"reserve_gib": others, "growth": 1.0, "fragmentation": 0.0}),
        ("usable instead of nominal memory", {"gpu_gib": node.gpu.usable_gib}),
    ):  # fmt: skip
        at = replace(at, **changes)
        after = at.nodes()
        if after != before:
            yield Step(what, before, after)
        before = after
    if ours != before:
        yield Step("whole layers, divisible heads, embeddings", before, ours)
    if by_default != ours:
        yield Step(f"{engine_facts('vllm').utilization:.0%} of memory, not {UTILIZATION:.0%}", ours, by_default)


def _with_margin(node: NodeSize, utilization: float) -> NodeSize:
    """The node with GPUs of which the plan takes `utilization` of the usable memory instead of its own part."""
    room = room_of_gpu(node.gpu, "vllm") / GIB
    part = utilization * node.gpu.usable_gib / room
    return node.model_copy(update={"gpu": node.gpu.model_copy(update={"usable_gib": node.gpu.usable_gib * part})})


def _nodes(placed: Placement | Misfit) -> int | None:
    return placed.nodes_of_replica if isinstance(placed, Placement) else None


def _count(nodes: int | None) -> str:
    return "none" if nodes is None else str(nodes)
