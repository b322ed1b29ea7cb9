"""Models that predictions are compared with: SmolLM2 itself, and random ones of other shapes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedConfig

from presets.catalog import find_preset
from presets.shape import ModelShape
from presets.tuning_memory import CPU_LIBRARIES_BYTES, tuning_memory
from presets.weights_source import parse_weights_source
from serving.weights import ensure
from tests.serving.accuracy.tuning_step import Case

MIB = 2**20
DTYPE_BYTES = {"bfloat16": 2, "float32": 4}
LLAMA_TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
PHI3_TARGETS = ("qkv_proj", "o_proj", "gate_up_proj", "down_proj")


@dataclass(frozen=True)
class Model:
    directory: Path
    shape: ModelShape
    parameters: int
    targets: tuple[str, ...]


def smollm2() -> Model:
    preset = find_preset("smollm2-135m-instruct")
    assert preset.parameters
    directory = ensure(parse_weights_source(preset.weights)).path
    return Model(directory, preset.shape, preset.parameters, preset.lora_targets)


def shape_of(config: PreTrainedConfig) -> ModelShape:
    """Of a model whose layers are all alike, with full attention or latent attention."""
    settings: Any = config
    layers: Any = settings.num_hidden_layers
    if compressed := getattr(config, "kv_lora_rank", None):
        names = ("q_lora_rank", "qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim")
        sizes = {name: getattr(settings, name) for name in names}
        layers = [{"kind": "mla", "count": settings.num_hidden_layers, "kv_lora_rank": compressed, **sizes}]
    heads = settings.num_attention_heads
    return ModelShape(
        layers=layers,
        hidden_size=settings.hidden_size,
        intermediate_size=settings.intermediate_size,
        heads=heads,
        kv_heads=settings.num_key_value_heads,
        head_dim=getattr(settings, "head_dim", None) or settings.hidden_size // heads,
        vocab_size=settings.vocab_size,
        tied_embeddings=settings.tie_word_embeddings,
    )


def save_random(config: PreTrainedConfig, directory: Path, targets: tuple[str, ...]) -> Model:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(directory)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return Model(directory, shape_of(config), parameters, targets)


def predicted_growth(model: Model, case: Case) -> int:
    """Bytes that tuning adds to a process that has imported its libraries."""
    need = tuning_memory(
        model.shape,
        parameters=model.parameters,
        method=case.method,
        targets=case.targets,
        rank=case.rank,
        sequence_length=case.sequence_length,
        batch_size=case.batch_size,
        gradient_checkpointing=case.gradient_checkpointing,
        dtype_bytes=DTYPE_BYTES[case.dtype],
        on_gpu=False,
    )
    return need.total - CPU_LIBRARIES_BYTES
