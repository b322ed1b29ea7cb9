"""The arithmetic of tuning jobs. How it compares with measured steps is tested in tests/serving/accuracy."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from presets.catalog import catalog, find_preset
from presets.memory import GIB
from presets.shape import ModelShape
from presets.tuning_memory import GPU_RUNTIME_BYTES, TuningMemory, tuning_memory

PHI = find_preset("phi-3-mini-4k-instruct")
PHI_PARAMETERS = 3_821_079_552


def need(**changes: object) -> TuningMemory:
    """Of Phi-3-mini with LoRA on a GPU, 1 x 1024 tokens, unless changed."""
    usual: dict[str, Any] = {
        "parameters": PHI_PARAMETERS,
        "method": "lora",
        "targets": PHI.lora_targets,
        "rank": 16,
        "sequence_length": 1024,
        "batch_size": 1,
        "gradient_checkpointing": False,
        "on_gpu": True,
    }
    return tuning_memory(**{"shape": PHI.shape, **usual, **changes})


def test_a_tuning_job_s_parts_add_up_to_its_total() -> None:
    memory = need()
    assert sum(getattr(memory, field.name) for field in fields(memory)) == memory.total
    assert str(memory).startswith(f"{memory.total / GIB:.2f} GiB: weights 7.12, ")


def test_only_the_adapter_has_gradients_and_moments() -> None:
    memory = need(rank=8)
    assert memory.gradients == memory.adapter
    assert memory.optimizer == 2 * memory.adapter
    assert need(rank=16).adapter == 2 * memory.adapter
    assert need(rank=16).weights == memory.weights


def test_qlora_keeps_linear_layers_in_4_bits_and_embeddings_and_norms_in_float32() -> None:
    untouched = PHI.shape.embedding_parameters + 65 * PHI.shape.hidden_size
    assert need(method="qlora").weights == pytest.approx(
        untouched * 4 + (PHI_PARAMETERS - untouched) * 4.127 / 8, rel=1e-4
    )
    assert need(method="lora").weights == PHI_PARAMETERS * 2


def test_phi_3_mini_with_qlora_takes_less_than_half_of_what_it_takes_with_lora() -> None:
    assert need(method="qlora", gradient_checkpointing=True).total < 5 * GIB
    assert 9 * GIB < need(method="lora", gradient_checkpointing=True).total < need(method="lora").total < 16 * GIB


def test_gradient_checkpointing_keeps_little_more_than_one_layer_of_many() -> None:
    with_it, without = need(gradient_checkpointing=True), need()
    assert with_it.activations < without.activations / 8
    assert with_it.weights == without.weights


def test_the_logits_of_a_large_vocabulary_outweigh_a_layer() -> None:
    gemma = find_preset("gemma-3-4b-instruct").shape
    memory = need(shape=gemma, targets=("q_proj", "v_proj"), gradient_checkpointing=True)
    assert memory.logits == 3 * 1024 * gemma.vocab_size * 4
    assert memory.logits > memory.activations


def test_a_small_vocabulary_leaves_the_peak_inside_a_layer() -> None:
    few_words = PHI.shape.model_copy(update={"vocab_size": 256})
    assert need(shape=few_words, gradient_checkpointing=True).logits == 0


def test_a_window_that_the_sequence_exceeds_costs_keys_and_values_for_every_head() -> None:
    windowed = ModelShape.model_validate(
        {**PHI.shape.model_dump(), "kv_heads": 8, "layers": [{"kind": "sliding", "count": 32, "window": 1024}]}
    )
    within = need(shape=windowed, sequence_length=1024, targets=("o_proj",))
    beyond = need(shape=windowed, sequence_length=1025, targets=("o_proj",))
    assert beyond.activations - within.activations > 1024 * 32 * (2 * 24 * 96) * 2


def test_a_process_on_a_cpu_is_counted_with_its_libraries() -> None:
    assert need(on_gpu=True).runtime == GPU_RUNTIME_BYTES
    assert 0.7 < need(on_gpu=False).runtime / GIB < 1


def test_what_is_not_known_is_refused_with_what_to_do() -> None:
    linear = ModelShape.model_validate(
        {**PHI.shape.model_dump(), "layers": [{"kind": "linear", "count": 2, "state_bytes": 1}]}
    )
    with pytest.raises(ValueError, match=r"layers of kind linear keep.*tune a model with full or sliding attention"):
        need(shape=linear)
    experts = PHI.shape.model_copy(update={"experts": 8})
    with pytest.raises(ValueError, match="8 experts are not; use method lora"):
        need(shape=experts, method="qlora", targets=("o_proj",))
    assert need(shape=experts, method="lora", targets=("o_proj",)).total
    with pytest.raises(ValueError, match="sequence_length is 0"):
        need(sequence_length=0)
    with pytest.raises(ValueError, match="batch_size is 0"):
        need(batch_size=0)


def test_every_preset_that_can_be_tuned_has_an_answer() -> None:
    tuned = {name: preset for name, preset in catalog().items() if preset.tuning}
    assert tuned
    for name, preset in tuned.items():
        for method in preset.tuning:
            memory = need(shape=preset.shape, parameters=10**10, method=method, targets=preset.lora_targets)
            assert memory.total > memory.weights > 0, (name, method)


@given(
    length=st.integers(1, 8192),
    batch=st.integers(1, 8),
    rank=st.integers(1, 256),
    method=st.sampled_from(["lora", "qlora"]),
    checkpointing=st.booleans(),
    more=st.integers(1, 512),
)
def test_more_of_anything_never_needs_less(
    length: int, batch: int, rank: int, method: str, checkpointing: bool, more: int
) -> None:
    asked: dict[str, Any] = {
        "sequence_length": length,
        "batch_size": batch,
        "rank": rank,
        "method": method,
        "gradient_checkpointing": checkpointing,
    }
    total = need(**asked).total
    assert need(**{**asked, "sequence_length": length + more}).total >= total
    assert need(**{**asked, "batch_size": batch + more}).total >= total
    assert need(**{**asked, "rank": rank + more}).total >= total
    assert (
        need(**{**asked, "gradient_checkpointing": False}).total
        >= need(**{**asked, "gradient_checkpointing": True}).total
    )
