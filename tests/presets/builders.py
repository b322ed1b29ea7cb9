"""Models as their publishers write them: config.json files of real repositories, and safetensors without numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CONFIGS = Path(__file__).parent / "configs"
"""As published; of long lists that nothing here reads, the beginning."""

WIDTH = {"BF16": 2, "F16": 2, "F32": 4, "U8": 1, "I32": 4, "F8_E4M3": 1}

Tensors = Mapping[str, tuple[str, tuple[int, ...]]]
"""Type and shape by name."""


def config_of(model: str) -> dict[str, Any]:
    return json.loads((CONFIGS / f"{model}.json").read_text())


def safetensors(file: Path, tensors: Tensors) -> int:
    """A file with a real header, and a hole where the numbers would be; returns its bytes."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, (dtype, shape) in tensors.items():
        end = offset + WIDTH[dtype] * math.prod(shape)
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    with file.open("wb") as making:
        making.write(len(text).to_bytes(8, "little") + text)
        making.truncate(8 + len(text) + offset)
    return file.stat().st_size


def llama_tensors(config: Mapping[str, Any]) -> Tensors:
    """All that a checkpoint of a LlamaForCausalLM holds."""
    hidden, inner, vocab = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    heads = hidden // config["num_attention_heads"] * config["num_key_value_heads"]
    tensors: dict[str, tuple[str, tuple[int, ...]]] = {"model.embed_tokens.weight": ("BF16", (vocab, hidden))}
    for layer in range(config["num_hidden_layers"]):
        shapes = {
            "self_attn.q_proj": (hidden, hidden),
            "self_attn.k_proj": (heads, hidden),
            "self_attn.v_proj": (heads, hidden),
            "self_attn.o_proj": (hidden, hidden),
            "mlp.gate_proj": (inner, hidden),
            "mlp.up_proj": (inner, hidden),
            "mlp.down_proj": (hidden, inner),
            "input_layernorm": (hidden,),
            "post_attention_layernorm": (hidden,),
        }
        tensors |= {f"model.layers.{layer}.{name}.weight": ("BF16", shape) for name, shape in shapes.items()}
    tensors["model.norm.weight"] = ("BF16", (hidden,))
    return tensors if config["tie_word_embeddings"] else {**tensors, "lm_head.weight": ("BF16", (vocab, hidden))}


def published(directory: Path, model: str, tensors: Tensors | None = None, **changes: object) -> Path:
    """A directory with a model: its real config.json, with `changes`, and one safetensors file."""
    config = config_of(model) | changes
    directory.mkdir(parents=True)
    (directory / "config.json").write_text(json.dumps(config))
    safetensors(directory / "model.safetensors", llama_tensors(config) if tensors is None else tensors)
    return directory
