"""Adapters that must be refused, each with the reason that says why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from safetensors.numpy import save

from tests.serving.adapters.builders import HIDDEN, LAYERS, Tensors, files, tensors

_Q = "base_model.model.model.layers.0.self_attn.q_proj"


def _with(**more: np.ndarray) -> Tensors:
    return tensors() | more


def _config(**config: Any) -> dict[str, bytes]:
    return files(config)


def _tensors(made: Tensors) -> dict[str, bytes]:
    return files(None, made)


def _raw(**content: bytes) -> dict[str, bytes]:
    named = {"config": "adapter_config.json", "weights": "adapter_model.safetensors", "pickle": "adapter_model.bin"}
    return {named[key]: data for key, data in content.items()}


@dataclass(frozen=True)
class BadAdapter:
    name: str
    reason: str
    content: Mapping[str, bytes] = field(repr=False)
    says: str = ""


_GOOD = files()
_CONFIG, _WEIGHTS = _GOOD["adapter_config.json"], _GOOD["adapter_model.safetensors"]
_ZEROS = np.zeros((4, 4), np.float32)

BAD = [
    BadAdapter("nothing", "AdapterNotFound", {}, "save_pretrained"),
    BadAdapter("no weights", "AdapterNotFound", _raw(config=_CONFIG), "adapter_model.safetensors"),
    BadAdapter("no config", "AdapterNotFound", _raw(weights=_WEIGHTS), "adapter_config.json"),
    BadAdapter("a pickle", "PickledWeights", _raw(config=_CONFIG, pickle=b"\x80\x02"), "adapter_model.bin"),
    BadAdapter("a config that is no JSON", "AdapterUnreadable", _raw(config=b"{", weights=_WEIGHTS), "no JSON"),
    BadAdapter("a config that is a list", "AdapterUnreadable", _raw(config=b"[]", weights=_WEIGHTS), "no JSON object"),
    BadAdapter("half of the weights", "AdapterUnreadable", _raw(config=_CONFIG, weights=_WEIGHTS[:-9]), "truncated"),
    BadAdapter("weights of nothing", "AdapterUnreadable", _raw(config=_CONFIG, weights=b""), "truncated"),
    BadAdapter("a pickle called safetensors", "AdapterUnreadable", _raw(config=_CONFIG, weights=b"\x80\x02" * 99)),
    BadAdapter("no tensors", "AdapterUnreadable", _raw(config=_CONFIG, weights=save({})), "no tensors"),
    BadAdapter("one matrix of two", "AdapterUnreadable", _tensors(_with(**{f"{_Q}x.lora_A.weight": _ZEROS})), "two"),
    BadAdapter("no rank", "AdapterUnreadable", _config(r=None), "rank"),
    BadAdapter("a rank of text", "AdapterUnreadable", _config(r="4"), "rank"),
    BadAdapter("prompt tuning", "NotLora", _config(peft_type="PROMPT_TUNING"), "PROMPT_TUNING"),
    BadAdapter("LoHa", "NotLora", _config(peft_type="LOHA"), "LOHA"),
    BadAdapter("no kind", "NotLora", _config(peft_type=None), "peft_type"),
    BadAdapter("a classifier", "NotLora", _config(task_type="SEQ_CLS"), "SEQ_CLS"),
    BadAdapter("DoRA", "DoraUnsupported", _config(use_dora=True), "use_dora"),
    BadAdapter(
        "DoRA by its tensors", "DoraUnsupported", _tensors(_with(**{f"{_Q}.lora_magnitude_vector": _ZEROS})), "DoRA"
    ),
    BadAdapter("biases", "BiasUnsupported", _config(bias="all"), "bias"),
    BadAdapter("biases of its matrices", "BiasUnsupported", _config(lora_bias=True), "lora_bias"),
    BadAdapter(
        "biases by their tensors", "BiasUnsupported", _tensors(_with(**{f"{_Q}.lora_B.bias": _ZEROS})), "lora_B.bias"
    ),
    BadAdapter("activated LoRA", "VariantUnsupported", _config(alora_invocation_tokens=[1, 2]), "aLoRA"),
    BadAdapter("replicated layers", "VariantUnsupported", _config(layer_replication=[[0, 2]]), "layer replication"),
    BadAdapter("parameters", "VariantUnsupported", _config(target_parameters=["experts.down"]), "target_parameters"),
    BadAdapter("transposed layers", "UnsupportedModules", _config(fan_in_fan_out=True), "fan_in_fan_out"),
    BadAdapter("its own output layer", "UnsupportedModules", _config(modules_to_save=["lm_head"]), "lm_head"),
    BadAdapter("trained tokens", "UnsupportedModules", _config(trainable_token_indices=[5]), "tokens"),
    BadAdapter(
        "a larger vocabulary",
        "UnsupportedModules",
        _tensors(_with(**{"base_model.model.model.embed_tokens.weight": _ZEROS})),
        "embed_tokens",
    ),
    BadAdapter(
        "LoRA on embeddings",
        "UnsupportedModules",
        _tensors(_with(**{"base_model.model.model.embed_tokens.lora_embedding_A": _ZEROS})),
        "lora_embedding_A",
    ),
    BadAdapter("a high rank", "RankTooHigh", files({"r": 64}, tensors(rank=64)), "rank 64"),
    BadAdapter("a high rank in places", "RankTooHigh", _config(rank_pattern={"q_proj": 32}), "rank 32"),
    BadAdapter("a rank that its config hides", "RankTooHigh", files({"r": 4}, tensors(rank=32)), "rank 32"),
    BadAdapter("a wider model", "BaseModelMismatch", _tensors(tensors(hidden=2 * HIDDEN)), f"{2 * HIDDEN}"),
    BadAdapter("a deeper model", "BaseModelMismatch", _tensors(tensors(layers=LAYERS + 1)), f"layer {LAYERS}"),
]
