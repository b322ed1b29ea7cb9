"""How many bytes a model takes: its weights, its KV cache, and the processes around them."""

from __future__ import annotations

from presets.catalog import ModelShape
from presets.serve_config import Dtype

GIB = 2**30

_DTYPE_BYTES: dict[Dtype, int] = {"bfloat16": 2, "float16": 2, "float32": 4}

CPU_PROCESSES_BYTES = 3 * GIB // 2
"""Replica and engine of one CPU replica without weights, KV cache and logits.

Measured with torch 2.13, transformers 5.23 and ray 2.60 on Linux, SmolLM2-135M: the engine's process 0.7 GiB once torch
and transformers are imported and 0.2 GiB more in a long prefill, the replica's with its tokenizer 0.6 GiB.
"""

GPU_PROCESS_BYTES = GIB
"""CUDA context, library workspaces and activations of one engine on its GPU: an estimate, never measured."""

MACHINE_RESERVE_BYTES = 3 * GIB // 2
"""What a plan leaves to others on a machine: 0.6 GiB for an idle Ray head (measured), the rest for the system."""


def dtype_bytes(dtype: Dtype) -> int:
    """Bytes of one number.

    >>> dtype_bytes("bfloat16"), dtype_bytes("float32")
    (2, 4)
    """
    return _DTYPE_BYTES[dtype]


def weights_bytes(parameters: int, dtype: Dtype) -> int:
    """Bytes that all weights take once they are loaded as `dtype`.

    >>> weights_bytes(134_515_008, "bfloat16")
    269030016
    """
    return parameters * dtype_bytes(dtype)


def kv_cache_bytes(shape: ModelShape, tokens: int, dtype: Dtype = "bfloat16") -> int:
    """Bytes that the keys and values of `tokens` tokens take over all layers.

    Two tensors (layers, tokens, kv_heads, head_dim). Raises ValueError if tokens is negative.
    Source: grouped-query attention, arXiv 2305.13245.

    >>> from presets.catalog import find_preset
    >>> kv_cache_bytes(find_preset("phi-3-mini-4k-instruct").shape, tokens=1)
    393216
    """
    if tokens < 0:
        raise ValueError(f"tokens is {tokens}; a cache holds 0 or more")
    return 2 * shape.layers * tokens * shape.kv_heads * shape.head_dim * dtype_bytes(dtype)


def logits_bytes(shape: ModelShape, sequences: int) -> int:
    """Bytes of one step's float32 scores: (sequences, vocab_size).

    >>> from presets.catalog import find_preset
    >>> logits_bytes(find_preset("smollm2-135m-instruct").shape, sequences=32)
    6291456
    """
    return sequences * shape.vocab_size * 4
