"""A model small enough to write in a test."""

from __future__ import annotations

from pathlib import Path

from tests.presets.builders import Tensors, published

TINY: dict[str, object] = {
    "num_hidden_layers": 2,
    "hidden_size": 12,
    "intermediate_size": 8,
    "num_attention_heads": 3,
    "num_key_value_heads": 1,
    "vocab_size": 16,
}


def tiny(directory: Path, tensors: Tensors | None = None, **changes: object) -> Path:
    return published(directory, "SmolLM2-135M-Instruct", tensors, **{**TINY, **changes})
