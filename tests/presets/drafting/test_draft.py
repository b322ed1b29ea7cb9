"""Any model: what its config.json says about memory and limits, and what is no model that generates text."""

from __future__ import annotations

from typing import Any

import pytest

from presets.catalog import Quantization, find_preset
from presets.drafting.draft import Draft, DraftError, draft
from presets.engines import quantization_methods
from presets.memory import kv_cache_bytes
from presets.shape import LayerGroup
from tests.presets.builders import config_of


def catalogued(weights_bytes: int, parameters: int | None) -> tuple[int | None, float | None]:
    """What the entry of SmolLM2 says of its size."""
    facts = {"weights_bytes": weights_bytes, "parameters": parameters}
    preset = drafted(config_of("SmolLM2-135M-Instruct"), **facts).preset
    return preset.parameters, preset.weights_gib


def drafted(config: dict[str, Any], **facts: Any) -> Draft:  # noqa: ANN401
    given = {"weights_bytes": 2_000_000, "parameters": 1_000_000, "license": "mit", "chat_template": True} | facts
    return draft("org/Some-Model", config, **given)


def changed(model: str, **fields: object) -> dict[str, Any]:
    """A real config; a field that is None is left out."""
    return {name: value for name, value in (config_of(model) | fields).items() if value is not None}


def layers(config: dict[str, Any]) -> dict[str, int]:
    return {group.kind: group.count for group in drafted(config).preset.shape.layers}


def test_a_draft_of_smollm2_is_its_entry_in_the_catalogue() -> None:
    known = find_preset("smollm2-135m-instruct")
    found = drafted(config_of("SmolLM2-135M-Instruct"), weights_bytes=269_060_552, parameters=134_515_008)
    assert found.preset.shape == known.shape
    assert found.preset.architecture == known.architecture
    assert (found.preset.parameters, found.preset.max_context) == (known.parameters, known.max_context)
    assert found.preset.weights_gib is None, "it follows from the parameters"
    assert (found.name, found.notes) == ("some-model", ())


def test_a_draft_of_phi_3_is_its_entry_in_the_catalogue() -> None:
    known = find_preset("phi-3-mini-128k-instruct")
    found = drafted(config_of("Phi-3-mini-128k-instruct"))
    token = kv_cache_bytes(known.shape, 1000)
    assert kv_cache_bytes(found.preset.shape, 1000) == token
    assert (found.preset.max_context, found.preset.longrope_from) == (131072, 4096)
    assert any("auto_map" in note for note in found.notes), "nobody is told that its code is not run"


def test_grouped_query_attention_counts_the_shared_heads() -> None:
    preset = drafted(config_of("Llama-3.1-8B-Instruct")).preset
    assert kv_cache_bytes(preset.shape, 1) == 131072
    assert not preset.shape.tied_embeddings
    assert preset.longrope_from is None, "llama3's rope is always the same"
    assert preset.parsers.tool == "llama3_json"


def test_a_window_that_is_not_used_is_none() -> None:
    preset = drafted(changed("Qwen3-8B", sliding_window=4096)).preset
    assert preset.shape.layers == (LayerGroup(kind="full", count=36),)
    assert preset.shape.head_dim == 128
    assert (preset.parsers.tool, preset.parsers.reasoning) == ("hermes", "qwen3")


def test_gemma_3_has_a_nested_config_that_leaves_its_heads_out() -> None:
    found = drafted(config_of("gemma-3-4b-it"))
    shape = found.preset.shape
    assert layers(config_of("gemma-3-4b-it")) == {"sliding": 29, "full": 5}
    assert shape.layers[1].window == 1024
    assert (shape.heads, shape.kv_heads, shape.head_dim, shape.vocab_size) == (8, 4, 256, 262208)
    assert (found.preset.max_context, shape.tied_embeddings) == (131072, True)
    assert found.preset.multimodal
    assert not found.preset.float16, "its activations overflow float16"
    assert any("num_key_value_heads" in note for note in found.notes), "a default was taken in silence"


def test_deepseek_v3_caches_one_compressed_vector_a_token() -> None:
    preset = drafted(config_of("DeepSeek-V3-0324"), weights_bytes=688_586_727_753, parameters=None).preset
    assert kv_cache_bytes(preset.shape, 1) == (512 + 64) * 61 * 2
    assert preset.shape.layers[0].q_lora_rank == 1536
    assert preset.quantization == Quantization(method="fp8", bits=8)
    assert (preset.weights_gib, preset.parameters) == (641.3, None)
    assert (preset.shape.experts, preset.shape.intermediate_size) == (256, 9 * 2048)
    assert preset.shape.head_dim == 192


def test_an_indexer_of_sparse_attention_keeps_its_own_keys() -> None:
    preset = drafted(changed("DeepSeek-V3-0324", index_head_dim=128)).preset
    assert preset.shape.layers[0].index_bytes == 132


def test_gpt_oss_alternates_a_window_with_full_attention() -> None:
    preset = drafted(config_of("gpt-oss-20b")).preset
    assert layers(config_of("gpt-oss-20b")) == {"sliding": 12, "full": 12}
    assert preset.quantization == Quantization(method="mxfp4", bits=4)
    assert (preset.shape.experts, preset.shape.intermediate_size) == (32, 4 * 2880)
    assert preset.tuning == (), "quantized weights are not tuned"


def test_a_linear_hybrid_has_a_state_instead_of_a_cache_in_three_of_four_layers() -> None:
    shape = drafted(config_of("Qwen3.5-4B")).preset.shape
    assert layers(config_of("Qwen3.5-4B")) == {"linear": 24, "full": 8}
    recurrent, convolution = 32 * 128 * 128 * 4, (2 * 16 * 128 + 32 * 128) * 4 * 2
    assert shape.layers[1].state_bytes == recurrent + convolution


def test_nemotron_h_has_layers_without_attention_and_infinity_in_its_json() -> None:
    shape = drafted(config_of("NVIDIA-Nemotron-Nano-9B-v2")).preset.shape
    assert layers(config_of("NVIDIA-Nemotron-Nano-9B-v2")) == {"linear": 27, "feed_forward": 25, "full": 4}
    assert shape.layer_count == 56
    assert shape.layers[1].state_bytes == 128 * 80 * 128 * 4 + (128 * 80 + 2 * 8 * 128) * 4 * 2


def test_a_state_that_is_kept_in_16_bits_is_half_as_large() -> None:
    config = changed("NVIDIA-Nemotron-Nano-9B-v2", mamba_ssm_cache_dtype="bfloat16")
    assert drafted(config).preset.shape.layers[1].state_bytes == (128 * 80 * 128 + (128 * 80 + 2 * 8 * 128) * 4) * 2


def test_mixtral_passes_two_of_eight_experts() -> None:
    preset = drafted(config_of("Mixtral-8x7B-Instruct-v0.1")).preset
    assert (preset.shape.experts, preset.shape.intermediate_size) == (8, 2 * 14336)
    assert preset.lora_targets == ("q_proj", "k_proj", "v_proj", "o_proj"), "the experts are not adapted"


def test_layers_that_read_the_cache_of_others_have_none() -> None:
    config = changed("gpt-oss-20b", num_kv_shared_layers=10)
    assert layers(config) == {"sliding": 7, "full": 7, "shared": 10}


def test_global_layers_may_have_larger_heads() -> None:
    text = {
        "model_type": "gemma4_text",
        "global_head_dim": 512,
        "num_global_key_value_heads": 2,
        "attention_k_eq_v": True,
    }
    config = changed("gemma-3-4b-it", text_config=config_of("gemma-3-4b-it")["text_config"] | text)
    config["text_config"] |= {"num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "vocab_size": 262144}
    full, sliding = drafted(config).preset.shape.layers
    assert (sliding.head_dim, full.head_dim, full.kv_heads) == (None, 512, 2)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (
            {"layer_types": ["mamba", "attention"] * 15, "mamba_n_heads": 4, "mamba_d_state": 8},
            {"linear": 15, "full": 15},
        ),
        ({"attn_layer_period": 8, "attn_layer_offset": 4, "mamba_d_state": 16}, {"linear": 26, "full": 4}),
        ({"full_attn_idxs": [2, 5], "conv_L_cache": 3}, {"linear": 28, "full": 2}),
        ({"attn_type_list": [0, 0, 1] * 10, "model_type": "minimax"}, {"linear": 20, "full": 10}),
        (
            {"linear_attn_config": {"full_attn_layers": [4, 8], "num_heads": 4, "head_dim": 8}},
            {"linear": 28, "full": 2},
        ),
        ({"attention_chunk_size": 8192, "no_rope_layers": [1, 1, 1, 0, 1] * 6}, {"sliding": 24, "full": 6}),
        ({"sliding_window": 512}, {"sliding": 30}),
        ({"sliding_window": 512, "sliding_window_pattern": "LLG"}, {"sliding": 20, "full": 10}),
        ({"sliding_window": 512, "use_sliding_window": True, "max_window_layers": 10}, {"full": 10, "sliding": 20}),
    ],
)
def test_layers_are_found_in_the_words_of_each_family(fields: dict[str, Any], expected: dict[str, int]) -> None:
    assert layers(config_of("SmolLM2-135M-Instruct") | fields) == expected


def test_an_unknown_kind_of_layer_is_counted_as_full_attention_and_said() -> None:
    found = drafted(changed("SmolLM2-135M-Instruct", layer_types=["heavily_compressed_attention"] * 30))
    assert found.preset.shape.layers == (LayerGroup(kind="full", count=30),)
    assert any("heavily_compressed_attention" in note for note in found.notes)


def test_a_state_space_beside_attention_is_said_to_be_missing() -> None:
    found = drafted(changed("SmolLM2-135M-Instruct", mamba_n_heads=4, mamba_d_state=16))
    assert any("comes on top" in note for note in found.notes)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_position_embeddings", 100),
        ("n_ctx", 100),
        ("seq_length", 100),
        ("max_seq_len", 100),
        ("max_sequence_length", 100),
        ("model_max_length", 100),
        ("n_positions", 100),
    ],
)
def test_the_token_limit_is_found_under_its_many_names(field: str, value: int) -> None:
    config = changed("SmolLM2-135M-Instruct", max_position_embeddings=None)
    assert drafted(config | {field: value, "max_seq_len_of_something": 7}).preset.max_context == 100


def test_no_token_limit_is_a_small_one_and_said() -> None:
    found = drafted(changed("SmolLM2-135M-Instruct", max_position_embeddings=float("inf")))
    assert found.preset.max_context == 2048
    assert any("token limit" in note for note in found.notes)


@pytest.mark.parametrize(
    ("config", "method", "bits"),
    [
        ({"quant_method": "fbgemm_fp8"}, "fp8", 8),
        ({"quant_method": "gptq", "bits": 8}, "gptq", 8),
        ({"quant_method": "awq", "bits": 4}, "awq", 4),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True, "load_in_8bit": False}, "nf4", 4),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "int8", 8),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, "nvfp4", 4),
        ({"quant_method": "modelopt", "quant_algo": "FP8"}, "fp8", 8),
        ({"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION"}, "mixed", 4),
    ],
)
def test_the_format_of_quantized_weights_has_one_name(config: dict[str, Any], method: str, bits: int) -> None:
    found = drafted(changed("Qwen3-8B", quantization_config=config)).preset
    assert found.quantization == Quantization(method=method, bits=bits)
    assert method in quantization_methods(), "nothing knows which GPUs it runs on"
    assert found.parameters is None, "packed numbers were counted as parameters"


@pytest.mark.parametrize(
    ("groups", "layout", "expected"),
    [
        ([{"num_bits": 4, "type": "int"}], "pack-quantized", Quantization(method="int4", bits=4)),
        ([{"num_bits": 8, "type": "int"}], "int-quantized", Quantization(method="int8", bits=8)),
        ([{"num_bits": 8, "type": "float"}], "float-quantized", Quantization(method="fp8", bits=8)),
        (
            [{"num_bits": 4, "type": "float", "group_size": 16}],
            "nvfp4-pack-quantized",
            Quantization(method="nvfp4", bits=4),
        ),
        (
            [{"num_bits": 4, "type": "float"}, {"num_bits": 8, "type": "float"}],
            "mixed-precision",
            Quantization(method="mixed", bits=4),
        ),
        ([], "dense", None),
    ],
)
def test_compressed_tensors_are_read_by_their_groups(
    groups: list[dict[str, Any]], layout: str, expected: Quantization | None
) -> None:
    named = {f"group_{index}": {"targets": ["Linear"], "weights": weights} for index, weights in enumerate(groups)}
    config = {"quant_method": "compressed-tensors", "format": layout, "config_groups": named}
    assert drafted(changed("Qwen3-8B", quantization_config=config)).preset.quantization == expected


def test_mistrals_own_format_is_understood() -> None:
    params = {"dim": 4096, "n_layers": 32, "head_dim": 128, "hidden_dim": 14336, "n_heads": 32, "n_kv_heads": 8}
    found = drafted(params | {"vocab_size": 32768, "max_seq_len": 32768}, output_layer=True)
    assert found.preset.architecture == "MistralForCausalLM"
    assert kv_cache_bytes(found.preset.shape, 1) == 131072
    assert not found.preset.shape.tied_embeddings
    assert any("params.json" in note for note in found.notes)


def test_falcons_one_pair_of_heads_is_not_taken_for_seventy_one() -> None:
    config = {"architectures": ["FalconForCausalLM"], "model_type": "falcon", "hidden_size": 4544, "vocab_size": 65024}
    config |= {"num_attention_heads": 71, "num_hidden_layers": 32, "num_kv_heads": 71, "multi_query": True}
    assert drafted(config).preset.shape.kv_heads == 1


def test_weights_of_32_bits_are_not_taken_for_twice_as_many_parameters() -> None:
    config = changed("SmolLM2-135M-Instruct", torch_dtype="float32")
    found = drafted(config, weights_bytes=8_000_000_000, parameters=None)
    assert found.preset.parameters == 2_000_000_000
    assert found.preset.weights_gib == 7.4506
    assert any("estimate" in note for note in found.notes)


def test_parameters_are_written_down_where_they_follow_from_the_shape() -> None:
    assert catalogued(269_060_552, 134_515_008) == (134_515_008, None)
    assert catalogued(273_000_000, 136_500_000) == (None, 0.25425), (
        "other weights than the shape has: an encoder, biases"
    )
    assert catalogued(269_060_552, None) == (None, 0.25058)
    assert catalogued(538_060_552, 134_515_008) == (134_515_008, 0.50111), "32 bits each"


def test_deepseek_v4_caches_one_vector_for_key_and_value() -> None:
    fields = {"model_type": "deepseek_v4", "head_dim": 512, "num_key_value_heads": 1, "kv_lora_rank": None}
    ratios = {"compress_ratios": [0, 0, *[4, 128] * 29, 4], "sliding_window": 128, "expert_dtype": "fp4"}
    preset = drafted(changed("DeepSeek-V3-0324", **fields, **ratios)).preset
    full, sliding = preset.shape.layers
    assert (full.kind, full.count, full.kv_lora_rank, full.qk_rope_head_dim) == ("mla", 59, 448, 64)
    assert (sliding.kind, sliding.count, sliding.window) == ("sliding", 2, 128)
    assert preset.quantization == Quantization(method="mixed", bits=4)


def test_an_architecture_that_the_catalogue_has_not_is_said_to_be_unchecked() -> None:
    found = drafted(changed("SmolLM2-135M-Instruct", architectures=["MadeUpForCausalLM"]))
    assert any("MadeUpForCausalLM: whether the engine knows it was not checked" in note for note in found.notes)


def test_what_nobody_said_is_a_note() -> None:
    found = drafted(changed("SmolLM2-135M-Instruct", tie_word_embeddings=None), license="", chat_template=False)
    assert [note.split()[0] for note in found.notes] == ["Nothing", "Its", "Its"]
    assert found.preset.repository.license == "other"
    assert not found.preset.shape.tied_embeddings


@pytest.mark.parametrize(
    ("fields", "facts", "said"),
    [
        ({"architectures": ["T5ForConditionalGeneration"], "is_encoder_decoder": True}, {}, "an encoder and a decoder"),
        ({"architectures": ["BertModel"]}, {}, "BertModel generates no text"),
        ({"architectures": ["LlamaForSequenceClassification"]}, {}, "generates no text"),
        ({}, {"task": "feature-extraction"}, "made for feature-extraction"),
        ({"_class_name": "FluxPipeline"}, {}, "diffusion model"),
        ({"architectures": None}, {}, "no architectures"),
        ({"hidden_size": None, "model_type": "new"}, {}, "lacks hidden_size"),
        ({"num_key_value_heads": 2}, {}, "9 heads cannot share 2 kv_heads evenly"),
        ({"quantization_config": {"quant_method": "hqq"}}, {}, "quantized by hqq"),
        ({"layer_types": ["linear_attention"] * 30}, {}, "state"),
        ({"layer_types": ["full_attention"] * 15}, {}, "layer_types lists 15 layers of 30 (num_hidden_layers)"),
        ({"layers_block_type": ["attention"] * 15}, {}, "layers_block_type lists 15 layers of 30"),
        ({"num_hidden_layers": 10**9}, {}, "1000000000 layers"),
        (
            {"architectures": ["MadeUpForCausalLM"], "auto_map": {"AutoModelForCausalLM": "modeling.MadeUp"}},
            {},
            "MadeUpForCausalLM needs code that comes with the model (auto_map), which is never run here",
        ),
    ],
)
def test_what_is_no_decoder_is_refused_with_what_to_do(
    fields: dict[str, Any], facts: dict[str, Any], said: str
) -> None:
    with pytest.raises(DraftError) as refused:
        drafted(changed("SmolLM2-135M-Instruct", **fields), **facts)
    message = str(refused.value)
    assert message.startswith("org/Some-Model: ")
    assert said in message
    assert ";" in message, "it does not say what to do"
    assert "\n" not in message


@pytest.mark.parametrize(
    ("config", "name"),
    [
        ("Llama-3.1-8B-Instruct", "llama-3.1-8b-instruct"),
        ("gemma-3-4b-it", "gemma-3-4b-instruct"),
        ("DeepSeek-V3-0324", "deepseek-v3-0324"),
        ("gpt-oss-20b", "gpt-oss-20b"),
        ("Qwen3.5-4B", "qwen3.5-4b"),
        ("NVIDIA-Nemotron-Nano-9B-v2", "nvidia-nemotron-nano-9b-v2"),
    ],
)
def test_a_draft_agrees_with_the_entry_that_people_wrote(config: str, name: str) -> None:
    known, found = find_preset(name), drafted(config_of(config)).preset
    assert sorted(map(repr, found.shape.layers)) == sorted(map(repr, known.shape.layers))
    assert found.shape.model_copy(update={"layers": known.shape.layers}) == known.shape
    for fact in ("architecture", "max_context", "quantization", "float16", "multimodal", "lora_targets", "tuning"):
        assert getattr(found, fact) == getattr(known, fact), fact
