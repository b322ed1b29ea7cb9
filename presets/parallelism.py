"""How a model is divided among GPUs, and what each of them then holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from presets.adapter_memory import matrices_bytes, vllm_adapters_bytes
from presets.catalog import Preset
from presets.engines import EngineName, engine_facts
from presets.memory import GIB, MemoryNeed, activations_bytes, dtype_bytes, kv_cache_bytes, weights_bytes
from presets.node_sizes import GpuModel, NodeSize
from presets.serve_config import Dtype, LoadQuantization
from presets.shape import ModelShape


@dataclass(frozen=True, kw_only=True)
class Load:
    """What one replica is to hold."""

    preset: Preset
    engine: EngineName
    dtype: Dtype
    quantization: LoadQuantization | None = None
    context: int
    """Tokens of one sequence."""
    sequences: int
    """Of that length, at the same time."""
    adapter_ranks: tuple[int, ...] = ()
    tensor: int | None = None
    """GPUs that share each layer, where that is asked for."""
    utilization: float | None = None
    """Part of a GPU's usable memory that the engine may take; None: its own default."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """One replica over tensor x pipeline GPUs."""

    tensor: int
    """GPUs that share each layer."""
    pipeline: int
    """Stages, each with a part of the layers."""

    @property
    def gpus(self) -> int:
        return self.tensor * self.pipeline

    def __str__(self) -> str:
        names = (("tensor", self.tensor), ("pipeline", self.pipeline))
        return ", ".join(f"{name} {size}" for name, size in names if size > 1) or "1 GPU"


def tensor_sizes(shape: ModelShape, most: int) -> list[int]:
    """GPUs that can share a layer, at most `most`, smallest first.

    Attention heads are divided evenly; so are key and value heads, or each is repeated evenly where there are fewer
    than GPUs; and the inner width of a dense feed-forward layer. Source: vLLM, vllm/config/model.py
    (verify_with_parallel_config) and the divisions in vllm/model_executor/layers/linear.py.

    >>> from presets.catalog import find_preset
    >>> tensor_sizes(find_preset("smollm2-135m-instruct").shape, 8)
    [1, 3]
    """
    kv_heads = {group.kv_heads or shape.kv_heads for group in shape.layers if group.kind in ("full", "sliding")}
    return [
        size
        for size in range(1, most + 1)
        if shape.heads % size == 0
        and all(heads % size == 0 or size % heads == 0 for heads in kv_heads)
        and (shape.experts or shape.intermediate_size % size == 0)
    ]


def most_gpus(engine: EngineName, node: NodeSize) -> int:
    """GPUs of this node's kind that one replica may have. Slices of a GPU cannot work together."""
    return 1 if node.gpu.mig_profile else engine_facts(engine).gpus_per_replica


def splits(
    preset: Preset, engine: EngineName, node: NodeSize, nodes: int, tensor: int | None = None
) -> Iterator[Split]:
    """Ways to put one replica on `nodes` nodes, those that use fewer GPUs first. tensor: only with this size.

    Within one node any number of its GPUs may be used. Over several, all are: tensor parallelism stays inside a node,
    where GPUs are connected, and the nodes are stages of a pipeline.
    """
    most = most_gpus(engine, node)
    sizes = [size for size in tensor_sizes(preset.shape, min(node.gpus, most)) if tensor in (None, size)]
    if nodes == 1:
        found = [Split(tensor=size, pipeline=stages) for size in sizes for stages in range(1, node.gpus // size + 1)]
        ordered = sorted(found, key=lambda split: (split.gpus, split.pipeline))
    else:
        ordered = [Split(tensor=size, pipeline=nodes * (node.gpus // size)) for size in reversed(sizes)]
    yield from (split for split in ordered if split.gpus <= most and split.pipeline <= preset.shape.layer_count)


def need_of_gpu(load: Load, split: Split) -> MemoryNeed:
    """Bytes on the fullest GPU of a replica: its share of weights, cache and adapters, and what each GPU has beside.

    Stages get whole layers; the first has the embedding, the last the output layer, both the whole table where they
    share it. Layers that do not divide evenly go to the stages between, to the first only where those are too few.
    Source: vLLM, vllm/distributed/utils.py (get_pp_indices). Adapters are counted undivided within a stage, since
    engines repeat one of their two matrices on every GPU. Layers are taken to be alike: where they are not, as in
    hybrid models and where the first layers of a mixture of experts are dense, the fullest stage may hold some more.
    """
    preset, shape = load.preset, load.preset.shape
    layers, stages = shape.layer_count, split.pipeline
    first = layers if stages == 1 else (layers + 1) // stages
    largest = first if stages <= 2 else -(-layers // stages)
    weights = weights_bytes(preset, load.dtype, load.quantization)
    embedding_dtype: Dtype = "bfloat16" if preset.quantization else load.dtype
    embeddings = min(shape.embedding_parameters * dtype_bytes(embedding_dtype), weights)
    at_one_end = embeddings if stages == 1 or shape.tied_embeddings else embeddings // 2
    of_first = _part(weights - embeddings, first, layers) + at_one_end
    of_stage = max(of_first, _part(weights - embeddings, largest, layers))
    sequence = kv_cache_bytes(shape, load.context, load.dtype, tensor=split.tensor)
    return MemoryNeed(
        weights=-(-of_stage // split.tensor),
        kv_cache=load.sequences * _part(sequence, largest, layers),
        adapters=_part(_adapters(load), largest, layers),
        activations=activations_bytes(shape, load.sequences, load.dtype, tensor=split.tensor),
        runtime=round(engine_facts(load.engine).runtime_gib * GIB),
    )


def _adapters(load: Load) -> int:
    """Bytes that all layers' adapters take on one GPU."""
    preset, each = load.preset, dtype_bytes(load.dtype)
    if load.engine == "vllm":
        return vllm_adapters_bytes(preset.shape, preset.lora_targets, load.adapter_ranks, each)
    plain = load.quantization is None and preset.quantization is None
    return matrices_bytes(preset.shape, preset.lora_targets, load.adapter_ranks, load.sequences, each, joined=plain)


def room_of_gpu(gpu: GpuModel, engine: EngineName, utilization: float | None = None) -> int:
    """Bytes of one GPU that a plan may use; utilization: as in Load."""
    return int(gpu.usable_gib * (utilization or engine_facts(engine).utilization) * GIB)


def _part(count: int, part: int, whole: int) -> int:
    return -(-count * part // whole)
