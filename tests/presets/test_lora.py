"""The arithmetic of adapters. That it gives the bytes of peft's own is tested in tests/serving/accuracy."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from presets.catalog import catalog, find_preset
from presets.lora import FEED_FORWARD_TARGETS, KNOWN_TARGETS, adapter_bytes, lora_parameters, projection, projections
from presets.shape import ModelShape

ALL = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
SIZES: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "heads": 4,
    "kv_heads": 2,
    "head_dim": 16,
    "vocab_size": 100,
    "tied_embeddings": True,
}


def shape(layers: object, **changes: int) -> ModelShape:
    return ModelShape.model_validate({"layers": layers, **SIZES, **changes})


def test_an_adapter_of_llama_8b_has_the_numbers_that_peft_prints_for_it() -> None:
    llama = find_preset("llama-3.1-8b-instruct").shape
    assert lora_parameters(llama, ["q_proj", "v_proj"], 8) == 3_407_872
    assert lora_parameters(llama, ALL, 16) == 41_943_040


def test_every_preset_s_targets_are_known_and_found_in_its_layers() -> None:
    tuned = {name: preset for name, preset in catalog().items() if preset.lora_targets}
    assert tuned
    for name, preset in tuned.items():
        assert lora_parameters(preset.shape, preset.lora_targets, 16) > 0, name


def test_fused_projections_have_one_input_matrix_for_all_of_their_parts() -> None:
    apart, fused = ("q_proj", "k_proj", "v_proj"), ("qkv_proj",)
    rank, layers, inputs = 8, 2, 64
    assert (
        lora_parameters(shape(layers), apart, rank) - lora_parameters(shape(layers), fused, rank)
        == (len(apart) - 1) * layers * rank * inputs
    )


def test_layers_with_heads_of_their_own_are_counted_with_those() -> None:
    mixed = shape(
        [{"kind": "full", "count": 1, "head_dim": 32, "kv_heads": 4}, {"kind": "sliding", "count": 2, "window": 8}]
    )
    assert lora_parameters(mixed, ["k_proj"], 1) == (64 + 4 * 32) + 2 * (64 + 2 * 16)


def test_attention_is_adapted_only_where_there_is_attention() -> None:
    hybrid = shape([{"kind": "linear", "count": 3, "state_bytes": 1}, {"kind": "full", "count": 1}])
    assert lora_parameters(hybrid, ["q_proj"], 1) == 64 + 64
    apart = shape([{"kind": "full", "count": 1}, {"kind": "feed_forward", "count": 2}])
    assert lora_parameters(apart, ["q_proj", "up_proj"], 1) == (64 + 64) + 2 * (64 + 96)


def test_layers_that_read_an_earlier_cache_have_no_keys_to_adapt() -> None:
    sharing = shape([{"kind": "full", "count": 1}, {"kind": "shared", "count": 1}])
    assert [group.kind for group, *_ in projections(sharing, ["k_proj"])] == ["full"]
    assert len(list(projections(sharing, ["o_proj"]))) == 2


def test_latent_attention_has_the_projections_of_its_compressed_vectors() -> None:
    sizes = {"kv_lora_rank": 32, "qk_rope_head_dim": 8, "qk_nope_head_dim": 16, "v_head_dim": 12}
    compressed = shape([{"kind": "mla", "count": 1, "q_lora_rank": 24, **sizes}])
    group = compressed.layers[0]
    assert projection(compressed, group, "q_a_proj") == (64, 24)
    assert projection(compressed, group, "q_b_proj") == (24, 4 * 24)
    assert projection(compressed, group, "kv_a_proj_with_mqa") == (64, 40)
    assert projection(compressed, group, "kv_b_proj") == (32, 4 * 28)
    assert projection(compressed, group, "o_proj") == (48, 64)
    assert projection(compressed, group, "q_proj") is None
    plain = shape([{"kind": "mla", "count": 1, **sizes}])
    assert projection(plain, plain.layers[0], "q_proj") == (64, 4 * 24)
    assert projection(plain, plain.layers[0], "q_a_proj") is None


def test_what_cannot_be_adapted_is_refused_with_what_can() -> None:
    with pytest.raises(ValueError, match=r"'c_attn' is no projection.*known: .*q_proj"):
        lora_parameters(shape(1), ["c_attn"], 8)
    with pytest.raises(ValueError, match=r"mixture of 8 experts cannot be adapted.*choose among .*o_proj"):
        lora_parameters(shape(1, experts=8), ["up_proj"], 8)
    with pytest.raises(ValueError, match="no layer has a q_a_proj: the model's layers are of kind full"):
        lora_parameters(shape(1), ["q_a_proj"], 8)
    incomplete = shape([{"kind": "mla", "count": 1, "kv_lora_rank": 32, "qk_rope_head_dim": 8}])
    with pytest.raises(ValueError, match="need qk_nope_head_dim and v_head_dim"):
        lora_parameters(incomplete, ["o_proj"], 8)
    with pytest.raises(ValueError, match="rank is 0"):
        lora_parameters(shape(1), ["q_proj"], 0)
    with pytest.raises(ValueError, match="count is -1"):
        adapter_bytes(shape(1), ["q_proj"], 8, count=-1)


def test_a_target_that_is_named_twice_is_adapted_once() -> None:
    assert lora_parameters(shape(2), ["q_proj", "q_proj"], 8) == lora_parameters(shape(2), ["q_proj"], 8)


@given(
    rank=st.integers(1, 512), more=st.integers(0, 64), count=st.integers(0, 64), targets=st.sets(st.sampled_from(ALL))
)
def test_a_higher_rank_and_further_adapters_and_targets_never_need_less(
    rank: int, more: int, count: int, targets: set[str]
) -> None:
    need = adapter_bytes(shape(3), targets, rank, count=count)
    assert adapter_bytes(shape(3), targets, rank + more, count=count) >= need
    assert adapter_bytes(shape(3), targets, rank, count=count + more) >= need
    assert adapter_bytes(shape(3), targets | {"up_proj"}, rank, count=count) >= need


def test_feed_forward_targets_are_among_the_known_ones() -> None:
    assert FEED_FORWARD_TARGETS < KNOWN_TARGETS
