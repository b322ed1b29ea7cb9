"""Predicted bytes of weights, adapters and KV caches beside those of the files and tensors themselves."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    DeepseekV3Config,
    Gemma3TextConfig,
    LlamaConfig,
    Phi3Config,
    PreTrainedConfig,
)

from presets.adapter_memory import copies_bytes, matrices_bytes
from presets.catalog import find_preset
from presets.lora import adapter_bytes
from presets.memory import kv_cache_bytes, weights_bytes
from serving.engines.transformers_engine.engine import TransformersEngine
from serving.engines.transformers_engine.joined_linears import Member
from serving.engines.transformers_engine.kv_cache import KvCache
from serving.engines.transformers_engine.loading import load_model
from tests.serving.accuracy.models import LLAMA_TARGETS, PHI3_TARGETS, shape_of, smollm2
from tests.serving.engines.driving import load, request, run
from tests.serving.engines.tiny_adapters import as_adapter, make_adapter
from tests.serving.engines.tiny_models import save

SIZES: dict[str, Any] = {
    "vocab_size": 199,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
MLA_TARGETS = ("q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj")
MLA_SIZES: dict[str, Any] = {
    "num_key_value_heads": 4,
    "first_k_dense_replace": 3,  # no layer has experts
    "q_lora_rank": 24,
    "kv_lora_rank": 32,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 16,
    "v_head_dim": 12,
}
RANDOM_MODELS: dict[str, tuple[Callable[[], PreTrainedConfig], tuple[str, ...]]] = {
    "phi3": (lambda: Phi3Config(**SIZES), PHI3_TARGETS),
    "gemma3": (lambda: Gemma3TextConfig(**SIZES, head_dim=32), LLAMA_TARGETS),
    "deepseek_v3": (lambda: DeepseekV3Config(**{**SIZES, **MLA_SIZES}), MLA_TARGETS),
}


def tensor_bytes(directory: Path) -> int:
    """Bytes of the tensors in all safetensors files of a directory, their headers excluded.

    A file is the header's size in 8 bytes, the header, and the tensors; data_offsets count from the header's end.
    """
    total = 0
    for file in directory.glob("*.safetensors"):
        with file.open("rb") as content:
            (header_size,) = struct.unpack("<Q", content.read(8))
            header = json.loads(content.read(header_size))
        header.pop("__metadata__", None)
        total += sum(end - begin for begin, end in (tensor["data_offsets"] for tensor in header.values()))
    return total


def saved_adapter_bytes(
    base: Any, targets: tuple[str, ...], rank: int, directory: Path, *, float32: bool = True
) -> int:
    settings = LoraConfig(r=rank, target_modules=list(targets), task_type="CAUSAL_LM")
    get_peft_model(base, settings, autocast_adapter_dtype=float32).save_pretrained(str(directory))
    return tensor_bytes(directory)


@pytest.mark.slow
def test_the_weights_of_smollm2_are_the_bytes_of_its_safetensors() -> None:
    planned = weights_bytes(find_preset("smollm2-135m-instruct"), "bfloat16")
    assert tensor_bytes(smollm2().directory) == planned == 269_030_016


@pytest.mark.slow
@pytest.mark.parametrize("rank", [8, 16])
def test_an_adapter_of_smollm2_has_the_bytes_that_are_planned_for_it(rank: int, tmp_path: Path) -> None:
    model = smollm2()
    base = AutoModelForCausalLM.from_pretrained(model.directory, dtype=torch.bfloat16)
    saved = saved_adapter_bytes(base, model.targets, rank, tmp_path, float32=False)
    assert saved == adapter_bytes(model.shape, model.targets, rank)


@pytest.mark.parametrize("family", RANDOM_MODELS)
def test_adapters_of_other_families_have_the_bytes_that_are_planned_for_them(family: str, tmp_path: Path) -> None:
    make_config, targets = RANDOM_MODELS[family]
    config = make_config()
    base = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    assert saved_adapter_bytes(base, targets, 8, tmp_path) == adapter_bytes(shape_of(config), targets, 8, 4)


@pytest.mark.slow
def test_the_engine_s_cache_has_the_bytes_that_are_planned_for_it() -> None:
    slots, context = 3, 640
    model = smollm2()
    engine = TransformersEngine(
        load_model(
            model.directory,
            dtype="bfloat16",
            device=torch.device("cpu"),
            max_context=context,
            trust_remote_code=False,
        ),
        max_sequences=slots,
        max_context=context,
    )
    run(engine, request("one", (1, 2, 3), max_tokens=2))  # the cache is made by the first step
    reserved = engine.stats().kv_cache_capacity_bytes
    assert reserved == pytest.approx(kv_cache_bytes(model.shape, slots * context), rel=0.02)


def test_the_cache_of_a_model_with_grouped_queries_has_the_bytes_that_are_planned_for_it() -> None:
    shape = find_preset("llama-3.1-8b-instruct").shape
    cache = KvCache(slots=2, context=4096, device=torch.device("cpu"))
    row = torch.zeros(1, shape.kv_heads, shape.head_dim, dtype=torch.bfloat16)
    for layer in range(shape.layer_count):
        cache.write(layer, torch.tensor([0]), row, row)
    assert cache.capacity_bytes == kv_cache_bytes(shape, 2 * 4096)


def matrices_of(engine: TransformersEngine) -> int:
    """Bytes of all that the engine computes adapters with."""
    layers = {module.joined for module in engine.model.modules() if isinstance(module, Member)}
    stacks = [layer.lora for layer in layers if layer.lora is not None]
    return sum(part.nbytes for stack in stacks for part in vars(stack).values() if isinstance(part, torch.Tensor))


def engine_over(directory: Path, sequences: int) -> TransformersEngine:
    model = load_model(directory, dtype="float32", device=torch.device("cpu"), max_context=32, trust_remote_code=False)
    return TransformersEngine(model, max_sequences=sequences, max_context=32)


@pytest.mark.parametrize("family", ["llama", *RANDOM_MODELS])
@pytest.mark.parametrize("ranks", [(4,), (4, 12), (8, 8, 16, 8, 8)])
def test_the_engine_takes_for_adapters_what_is_planned(tmp_path: Path, family: str, ranks: tuple[int, ...]) -> None:
    """With one version more, which is loaded beside the one that it replaces."""
    models = RANDOM_MODELS | {"llama": (lambda: LlamaConfig(**SIZES), LLAMA_TARGETS)}
    make, targets = models[family]
    config = make()
    save(config, tmp_path / "model")
    engine = engine_over(tmp_path / "model", sequences=4)
    kept = 0
    for place, rank in enumerate((*ranks, ranks[0])):
        settings: dict[str, Any] = {"r": rank, "target_modules": list(targets)}
        adapter = as_adapter(make_adapter(tmp_path / "model", tmp_path / f"a{place}", seed=place, **settings))
        load(engine, adapter)
        kept += engine.adapters.read(adapter).size_bytes
    shape = shape_of(config)
    assert matrices_of(engine) == matrices_bytes(shape, targets, ranks, 4, 4)
    assert 0 < kept <= copies_bytes(shape, targets, ranks, 4)


def test_a_version_that_takes_another_s_place_takes_no_more_room(tmp_path: Path) -> None:
    save(LlamaConfig(**SIZES), tmp_path / "model")
    engine = engine_over(tmp_path / "model", sequences=8)
    first, *others = [make_adapter(tmp_path / "model", tmp_path / f"a{seed}", seed=seed) for seed in range(6)]
    load(engine, as_adapter(first))
    before = first
    for version in others:
        load(engine, as_adapter(version))
        engine.adapters.remove(before.name)
        before = version
    shape = shape_of(LlamaConfig(**SIZES))
    assert matrices_of(engine) == matrices_bytes(shape, LLAMA_TARGETS, (4,), 8, 4)
