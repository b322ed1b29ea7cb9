"""How many bytes one step of tuning takes: LoRA over 16-bit weights, or QLoRA over weights in 4 bits.

What is counted is what transformers and peft do without autocast: peft keeps adapters in float32, QLoRA goes through
peft's prepare_model_for_kbit_training, attention is scaled_dot_product_attention over unpadded sequences, LoRA's
dropout is 0, logits are those of every position. docs/tuning-memory.md compares the result with measurements.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Literal

from presets.catalog import TuningMethod
from presets.lora import (
    GATE_UP_TARGETS,
    QUERY_KEY_VALUE_TARGETS,
    has_feed_forward,
    lora_parameters,
    projections,
)
from presets.memory import GIB, INT8_BYTES, NF4_BYTES
from presets.shape import LayerGroup, ModelShape

FLOAT32 = 4

CPU_ALLOCATOR: Mapping[str, str] = MappingProxyType({"MALLOC_MMAP_THRESHOLD_": "65536"})
"""Environment of a tuning process on a CPU; the figures for a CPU hold only with it.

glibc raises the size from which a freed block goes back to the system, up to 32 MiB, as blocks are freed, and then
keeps the holes between them: the same step took 3.4 GiB instead of 2.3 (SmolLM2-135M, 2 x 512 tokens, measured).
"""

CPU_LIBRARIES_BYTES = 800 * 2**20
"""A process that has imported torch 2.13, transformers 5.23, peft 0.21 and bitsandbytes 0.50 and loaded no model yet:
793 MiB measured."""

CPU_SCRATCH_BYTES = 48 * 2**20
"""What a step on a CPU takes beside its tensors: pages of libraries that are read on first use, packed operands of
matrix products, small blocks of the heap. Measured on SmolLM2-135M."""

GPU_RUNTIME_BYTES = GIB
"""CUDA context, cuBLAS workspaces and what the caching allocator cannot use: an estimate, never measured."""

LOGITS_COPIES = 3
"""float32 tensors (tokens, vocab_size) at the start of the backward pass: the log-probabilities that cross-entropy
has saved, their gradient, and the gradient of the logits made from both. The model's own output is gone by then."""


@dataclass(frozen=True, kw_only=True)
class TuningMemory:
    """Bytes that the tuning of one model takes on its GPU, or in its process, when it takes most."""

    weights: int
    adapter: int
    gradients: int
    """Of the adapter alone: all else is frozen. Counted through the whole step, as gradient accumulation keeps them."""
    optimizer: int
    """AdamW's two moments of each number of the adapter."""
    activations: int
    logits: int
    """0 where the step takes most inside of a layer, not at the loss."""
    runtime: int

    @property
    def total(self) -> int:
        return sum(self.parts().values())

    def parts(self) -> dict[str, int]:
        """Bytes by what they are for, as MemoryNeed.parts."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def __str__(self) -> str:
        """
        >>> parts = dict(weights=GIB, adapter=0, gradients=0, optimizer=0, activations=GIB, logits=0, runtime=GIB)
        >>> print(TuningMemory(**parts))
        3.00 GiB: weights 1.00, activations 1.00, runtime 1.00
        """
        parts = self.parts().items()
        return f"{self.total / GIB:.2f} GiB: " + ", ".join(f"{name} {size / GIB:.2f}" for name, size in parts if size)


def tuning_memory(
    shape: ModelShape,
    *,
    parameters: int,
    method: TuningMethod,
    targets: Collection[str],
    rank: int,
    sequence_length: int,
    batch_size: int,
    gradient_checkpointing: bool,
    on_gpu: bool,
    weight_bits: Literal[4, 8] = 4,
    dtype_bytes: int = 2,
    adapter_dtype_bytes: int = FLOAT32,
) -> TuningMemory:
    """The most that a step of `batch_size` sequences of `sequence_length` tokens takes, on one GPU or in one process.

    parameters: of the whole model. targets: projections that the adapter changes, as in presets.lora. dtype_bytes: of
    the weights that LoRA is trained over, and with them of the activations; QLoRA has both in float32, but for the
    projections' weights in `weight_bits` (8: LLM.int8). A step takes most either at the loss, with the logits' copies,
    or in the backward pass of its last layer. Raises ValueError for shapes whose tuning is not known here, which are
    layers of linear or latent attention and QLoRA over a mixture of experts, and as presets.lora does.
    Sources: LoRA, arXiv 2106.09685; QLoRA, arXiv 2305.14314; activations and checkpointing, arXiv 2205.05198, section
    4, without what frozen projections need not keep and without the scores, as FlashAttention (arXiv 2205.14135).

    >>> from presets.catalog import find_preset
    >>> phi = find_preset("phi-3-mini-4k-instruct")
    >>> print(tuning_memory(phi.shape, parameters=3_821_079_552, method="qlora", targets=["qkv_proj", "o_proj"],
    ...                     rank=16, sequence_length=2048, batch_size=1, gradient_checkpointing=True, on_gpu=True))
    5.12 GiB: weights 2.48, adapter 0.04, gradients 0.04, optimizer 0.07, activations 0.77, logits 0.73, runtime 1.00
    """
    _refuse_unknown(shape, method, sequence_length, batch_size)
    stream = dtype_bytes if method == "lora" else FLOAT32
    adapter = lora_parameters(shape, targets, rank)
    tokens = sequence_length * batch_size
    layers = [
        (group, tokens * _kept_by_layer(shape, group, targets, rank, stream, adapter_dtype_bytes, sequence_length))
        for group in shape.layers
    ]
    hidden = tokens * shape.hidden_size
    if gradient_checkpointing:
        kept = shape.layer_count * hidden * stream
        recomputed = max(size for _, size in layers)
    else:
        kept = sum(group.count * size for group, size in layers)
        recomputed = 0
    last_norm = hidden * FLOAT32
    logits = LOGITS_COPIES * tokens * shape.vocab_size * FLOAT32
    gradients = tokens * _gradients_of_layer(shape, targets, stream, adapter_dtype_bytes)
    in_layer = recomputed + gradients + _dequantized(shape, targets, method)
    at_loss = last_norm + logits >= in_layer
    return TuningMemory(
        weights=_weights(shape, parameters, dtype_bytes, method, weight_bits),
        adapter=adapter * adapter_dtype_bytes,
        gradients=adapter * adapter_dtype_bytes,
        optimizer=adapter * 2 * adapter_dtype_bytes,
        activations=kept + (last_norm if at_loss else in_layer),
        logits=logits if at_loss else 0,
        runtime=GPU_RUNTIME_BYTES if on_gpu else CPU_LIBRARIES_BYTES + CPU_SCRATCH_BYTES,
    )


def _refuse_unknown(shape: ModelShape, method: TuningMethod, sequence_length: int, batch_size: int) -> None:
    unknown = sorted({group.kind for group in shape.layers} & {"linear", "mla"})
    if unknown:
        raise ValueError(
            f"how much layers of kind {' and '.join(unknown)} keep for the backward pass is not known; tune a model "
            "with full or sliding attention"
        )
    if method == "qlora" and shape.experts:
        raise ValueError(
            f"bitsandbytes makes 4 bits of linear layers only, which the model's {shape.experts} experts are not; "
            "use method lora"
        )
    for name, value in (("sequence_length", sequence_length), ("batch_size", batch_size)):
        if value < 1:
            raise ValueError(f"{name} is {value}; a step has 1 or more")


def _weights(shape: ModelShape, parameters: int, dtype_bytes: int, method: TuningMethod, bits: int) -> int:
    """With QLoRA embeddings, output layer and norms stay as they are, and peft makes float32 of them."""
    if method == "lora":
        return parameters * dtype_bytes
    norms = (2 * shape.layer_count + 1) * shape.hidden_size
    unquantized = shape.embedding_parameters + norms
    return unquantized * FLOAT32 + int((parameters - unquantized) * (NF4_BYTES if bits == 4 else INT8_BYTES))


def _kept_by_layer(
    shape: ModelShape,
    group: LayerGroup,
    targets: Collection[str],
    rank: int,
    stream: int,
    adapter_dtype_bytes: int,
    sequence_length: int,
) -> int:
    """Bytes of one token that one layer of `group` keeps for its backward pass.

    Norms keep their input in float32. Attention keeps query, key, value, its output, and one float32 a head. SwiGLU
    keeps gate, activated gate and up. Frozen projections keep nothing; an adapter keeps its input and the `rank`
    numbers between its matrices. Inputs are shared between neighbours unless peft converts each of them to the
    adapter's own type.
    """
    norms, kept = 0, 0
    if group.kind != "feed_forward":
        norms += 1
        kept += _kept_by_attention(shape, group, targets, stream, sequence_length)
    if has_feed_forward(shape, group):
        norms += 1
        kept += 3 * shape.intermediate_size * stream
    adapted = [(target, size_in) for each, target, size_in, _ in projections(shape, targets) if each is group]
    kept += len(adapted) * rank * adapter_dtype_bytes
    if stream != adapter_dtype_bytes:
        kept += sum(size_in for _, size_in in adapted) * adapter_dtype_bytes
    else:
        inputs = {_input_of(target): size_in for target, size_in in adapted}
        inputs.pop("attention output", None)  # attention has kept it already
        kept += sum(inputs.values()) * stream
    return kept + norms * shape.hidden_size * FLOAT32


def _input_of(target: str) -> str:
    """Projections of the same input keep it once."""
    if target in QUERY_KEY_VALUE_TARGETS:
        return "attention input"
    if target in GATE_UP_TARGETS:
        return "feed-forward input"
    return "attention output" if target == "o_proj" else target


def _kept_by_attention(
    shape: ModelShape, group: LayerGroup, targets: Collection[str], stream: int, sequence_length: int
) -> int:
    log_sums = shape.heads * FLOAT32
    head_dim = group.head_dim or shape.head_dim
    query, key = shape.heads * head_dim, (group.kv_heads or shape.kv_heads) * head_dim
    if group.kind == "shared":
        return 2 * query * stream + log_sums
    if group.window and sequence_length > group.window:
        key = query  # under a mask transformers repeats keys and values for each head
    kept = 2 * query + 2 * key
    if "qkv_proj" in targets:
        kept += query + key  # the value is a part of the fused result, which stays as a whole
    return kept * stream + log_sums


def _gradients_of_layer(shape: ModelShape, targets: Collection[str], stream: int, adapter_dtype_bytes: int) -> int:
    """Bytes of one token by which a layer's backward pass, where it is widest, exceeds what the layer has kept.

    That is in the feed-forward: between down and the activation two more inner tensors than were kept; or, where peft
    converts to the adapter's type, behind the activation, when the gradient of the gate's or the fused result exists
    in that type twice (converted, and scaled) and nothing that the feed-forward kept is left.
    """
    inner = shape.intermediate_size
    gradients = 2 * inner * stream
    if stream == adapter_dtype_bytes:
        return gradients + shape.hidden_size * stream
    widest = inner * (2 if "gate_up_proj" in targets else 1 if GATE_UP_TARGETS & set(targets) else 0)
    kept = inner * (3 * stream + (adapter_dtype_bytes if "down_proj" in targets else 0))
    converted = gradients + 2 * widest * adapter_dtype_bytes - kept
    return max(gradients, converted) + shape.hidden_size * (stream + adapter_dtype_bytes)


def _dequantized(shape: ModelShape, targets: Collection[str], method: TuningMethod) -> int:
    """QLoRA multiplies by a weight made from its 4 bits for that, one projection at a time."""
    if method == "lora":
        return 0
    width = shape.intermediate_size * (2 if "gate_up_proj" in targets else 1)
    return shape.hidden_size * max(width, shape.heads * shape.head_dim) * FLOAT32
