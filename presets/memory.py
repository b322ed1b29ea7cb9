"""How many bytes a model takes: its weights, its KV cache, its activations, and the processes around them."""

from __future__ import annotations

from dataclasses import dataclass, fields

from presets.catalog import Preset
from presets.serve_config import Dtype, LoadQuantization
from presets.shape import LayerGroup, ModelShape

GIB = 2**30

_DTYPE_BYTES: dict[Dtype, int] = {"bfloat16": 2, "float16": 2, "float32": 4}

NF4_BYTES = (4 + 8 / 64 + 32 / (64 * 256)) / 8
"""Of one parameter: 4 bits, an 8-bit constant for each block of 64, a 32-bit one for 256 of those.
Source: double quantization, QLoRA, arXiv 2305.14314, section 3."""

INT8_BYTES = 1.0
"""Of one parameter. The float32 scale of each row is less than a thousandth (LLM.int8, arXiv 2208.07339)."""

CHUNK_TOKENS = 2048
"""Tokens of prompts that an engine computes in one step: vLLM's default of --max-num-batched-tokens with chunked
prefill. It bounds the activations, and what a sliding-window layer holds beyond its window."""

CPU_PROCESSES_BYTES = 3 * GIB // 2
"""Replica and engine of one CPU replica without weights, KV cache and logits.

Measured with torch 2.13, transformers 5.23 and ray 2.60 on Linux, SmolLM2-135M: the engine's process 0.7 GiB once torch
and transformers are imported and 0.2 GiB more in a long prefill, the replica's with its tokenizer 0.6 GiB.
"""

MACHINE_RESERVE_BYTES = 3 * GIB // 2
"""What a plan leaves to others on a machine: 0.6 GiB for an idle Ray head (measured), the rest for the system."""


@dataclass(frozen=True, kw_only=True)
class MemoryNeed:
    """Bytes by what they are for."""

    weights: int
    kv_cache: int
    runtime: int
    activations: int = 0
    adapters: int = 0

    @property
    def total(self) -> int:
        return sum(self.parts().values())

    def parts(self) -> dict[str, int]:
        """Bytes by what they are for, in words, in the order that people read them."""
        return {field.name.replace("kv_cache", "KV cache"): getattr(self, field.name) for field in fields(self)}

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {gib(count)}" for name, count in self.parts().items() if count)
        return f"{gib(self.total)} GiB ({parts})"


def gib(count: float) -> str:
    """Bytes as GiB with one decimal.

    >>> gib(3 * GIB // 2)
    '1.5'
    """
    return f"{count / GIB:.1f}"


def dtype_bytes(dtype: Dtype) -> int:
    """Bytes of one number.

    >>> dtype_bytes("bfloat16"), dtype_bytes("float32")
    (2, 4)
    """
    return _DTYPE_BYTES[dtype]


def parameter_count(preset: Preset) -> int:
    """Weights that are stored, tied ones once; from their bytes where the count itself is not published.

    For weights published in fewer than 16 bits it is an estimate from the bits of the greater part.
    """
    if preset.parameters is not None:
        return preset.parameters
    bits = preset.quantization.bits if preset.quantization else 16
    return round((preset.weights_gib or 0) * GIB * 8 / bits)


def stored_bytes(preset: Preset) -> int:
    """Bytes of the published weights, each tensor once.

    >>> from presets.catalog import find_preset
    >>> stored_bytes(find_preset("smollm2-135m-instruct"))
    269030016
    """
    return round(preset.weights_gib * GIB) if preset.weights_gib is not None else 2 * parameter_count(preset)


def weights_bytes(preset: Preset, dtype: Dtype, quantization: LoadQuantization | None = None) -> int:
    """Bytes that all weights take once they are loaded.

    Weights that are published quantized stay as they are. Others become `dtype`, or, with `quantization`, bitsandbytes'
    8 or 4 bits, all but the embeddings and the output layer.

    >>> from presets.catalog import find_preset
    >>> phi = find_preset("phi-3-mini-4k-instruct")
    >>> [gib(weights_bytes(phi, "float16")), gib(weights_bytes(phi, "float16", "nf4"))]
    ['7.1', '2.1']
    """
    if preset.quantization is not None:
        return stored_bytes(preset)
    parameters = parameter_count(preset)
    if quantization is None:
        return parameters * dtype_bytes(dtype)
    kept = min(preset.shape.embedding_parameters, parameters)
    each = NF4_BYTES if quantization == "nf4" else INT8_BYTES
    return kept * dtype_bytes(dtype) + round((parameters - kept) * each)


def kv_cache_bytes(shape: ModelShape, tokens: int, dtype: Dtype = "bfloat16", *, tensor: int = 1) -> int:
    """Bytes that one sequence of `tokens` tokens takes in the caches of all layers, on one GPU of `tensor`.

    Full attention: two tensors (tokens, kv_heads, head_dim) a layer; tensor parallelism divides the heads, and repeats
    them where there are fewer heads than GPUs. Sliding window: the same for the window and a chunk of prompt.
    Multi-head latent attention: one tensor (tokens / compression, kv_lora_rank + qk_rope_head_dim), on every GPU.
    Linear attention: a state of fixed size. Raises ValueError if tokens is negative.
    Sources: grouped-query attention, arXiv 2305.13245; MLA, arXiv 2405.04434, section 2.1; vLLM,
    vllm/v1/kv_cache_interface.py (SlidingWindowSpec, MLAAttentionSpec, MambaSpec).

    >>> from presets.catalog import find_preset
    >>> kv_cache_bytes(find_preset("phi-3-mini-4k-instruct").shape, tokens=1)
    393216
    """
    if tokens < 0:
        raise ValueError(f"tokens is {tokens}; a cache holds 0 or more")
    return sum(group.count * _layer_cache(shape, group, tokens, dtype_bytes(dtype), tensor) for group in shape.layers)


def _layer_cache(shape: ModelShape, group: LayerGroup, tokens: int, each: int, tensor: int) -> int:
    match group.kind:
        case "full" | "sliding":
            held = tokens if group.window is None else min(tokens, group.window + CHUNK_TOKENS)
            heads = -(-(group.kv_heads or shape.kv_heads) // tensor)
            return held * (2 * heads * (group.head_dim or shape.head_dim) * each + group.index_bytes)
        case "mla":
            latent = (group.kv_lora_rank or 0) + (group.qk_rope_head_dim or 0)
            return -(-tokens // group.compression) * (latent * each + group.index_bytes)
        case "linear":
            return -(-(group.state_bytes or 0) // tensor)
        case "shared" | "feed_forward":
            return 0


def logits_bytes(shape: ModelShape, sequences: int) -> int:
    """Bytes of one step's float32 scores: (sequences, vocab_size).

    >>> from presets.catalog import find_preset
    >>> logits_bytes(find_preset("smollm2-135m-instruct").shape, sequences=32)
    6291456
    """
    return sequences * shape.vocab_size * 4


def activations_bytes(shape: ModelShape, sequences: int, dtype: Dtype, *, tensor: int = 1) -> int:
    """Bytes at the peak of one step of inference on one GPU of `tensor`: a chunk of prompt through one layer, or the
    scores of `sequences` sequences, beside each other.

    Of each token: residual, its norm and the layer's output (3 x hidden_size), queries and the heads' output, keys and
    values, and the gate, the up projection and their product (3 x intermediate_size); only the latter are divided among
    GPUs. Scores are kept twice, as they are and as probabilities. FlashAttention and PyTorch's SDPA keep no scores of
    attention. An upper bound for kernels that fuse some of these.
    """
    heads = max(
        (2 * shape.heads + 2 * (group.kv_heads or shape.kv_heads)) * (group.head_dim or shape.head_dim)
        for group in shape.layers
    )
    divided = heads + 3 * shape.intermediate_size
    token = (3 * shape.hidden_size + -(-divided // tensor)) * dtype_bytes(dtype)
    return CHUNK_TOKENS * token + 2 * logits_bytes(shape, sequences)
