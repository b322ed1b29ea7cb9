"""KAITO's estimate as KAITO makes it, and Modelyard's plan beside it."""

from __future__ import annotations

import functools
import json
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.kaito_estimator import estimate, kaito_models, kaito_sizes, parallelism
from benchmarks.plan_comparison import Comparison, compare, comparisons, contexts_of
from benchmarks.plan_vs_kaito import choices, report, summary
from presets.catalog import catalog
from presets.node_sizes import find_node_size
from presets.parallelism import tensor_sizes
from tests.benchmarks.builders import HERE

ESTIMATED = [
    "Standard_NV36ads_A10_v5",
    "Standard_NC24ads_A100_v4",
    "Standard_NC48ads_A100_v4",
    "Standard_NC96ads_A100_v4",
    "Standard_NC40ads_H100_v5",
    "Standard_ND96isr_H100_v5",
    "Standard_ND96isr_H200_v5",
]

# KAITO v0.12 @056b8280: bytes of one token's cache, and the nodes of ESTIMATED at 2048 tokens, computed once with
# another program than this one from the same source.
KAITO = [
    ("microsoft/phi-4", 204_800, "2/1/1/1/1/1/1"),
    ("microsoft/Phi-4-mini-instruct", 131_072, "1/1/1/1/1/1/1"),
    ("deepseek-ai/DeepSeek-R1-Distill-Llama-8B", 131_072, "1/1/1/1/1/1/1"),
    ("deepseek-ai/DeepSeek-R1-Distill-Qwen-14B", 196_608, "2/1/1/1/1/1/1"),
    ("microsoft/Phi-3-mini-4k-instruct", 393_216, "1/1/1/1/1/1/1"),
    ("microsoft/Phi-3-mini-128k-instruct", 393_216, "1/1/1/1/1/1/1"),
    ("microsoft/Phi-3-medium-4k-instruct", 204_800, "2/1/1/1/1/1/1"),
    ("microsoft/Phi-3-medium-128k-instruct", 204_800, "2/1/1/1/1/1/1"),
    ("microsoft/Phi-3.5-mini-instruct", 393_216, "1/1/1/1/1/1/1"),
    ("Qwen/Qwen2.5-Coder-7B-Instruct", 57_344, "1/1/1/1/1/1/1"),
    ("Qwen/Qwen2.5-Coder-32B-Instruct", 262_144, "4/2/1/1/1/1/1"),
    ("openai/gpt-oss-20b", 49_152, "2/1/1/1/1/1/1"),
    ("openai/gpt-oss-120b", 73_728, "8/3/2/1/2/1/1"),
    ("meta-llama/Llama-3.1-8B-Instruct", 131_072, "1/1/1/1/1/1/1"),
    ("meta-llama/Llama-3.3-70B-Instruct", 327_680, "9/3/2/1/2/1/1"),
    ("mistralai/Mistral-7B-v0.3", 131_072, "1/1/1/1/1/1/1"),
    ("mistralai/Mistral-7B-Instruct-v0.3", 131_072, "1/1/1/1/1/1/1"),
    ("mistralai/Ministral-3-3B-Instruct-2512", 106_496, "1/1/1/1/1/1/1"),
    ("mistralai/Ministral-3-8B-Instruct-2512", 139_264, "1/1/1/1/1/1/1"),
    ("mistralai/Ministral-3-14B-Instruct-2512", 163_840, "1/1/1/1/1/1/1"),
    ("google/gemma-3-4b-it", 139_264, "1/1/1/1/1/1/1"),
    ("google/gemma-3-27b-it", 507_904, "4/1/1/1/1/1/1"),
    ("deepseek-ai/DeepSeek-R1-0528", 70_272, "39/11/6/3/9/2/1"),
    ("deepseek-ai/DeepSeek-V3-0324", 70_272, "39/11/6/3/9/2/1"),
    ("mistralai/Mistral-Large-3-675B-Instruct-2512", 70_272, "39/11/6/3/9/2/1"),
    ("nvidia/NVIDIA-Nemotron-3-Super-120B-A12B-BF16", 90_112, "14/4/2/1/4/1/1"),
    ("nvidia/Nemotron-Cascade-2-30B-A3B", 53_248, "4/1/1/1/1/1/1"),
    ("nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", 53_248, "4/1/1/1/1/1/1"),
    ("nvidia/NVIDIA-Nemotron-Nano-12B-v2-VL-BF16", 253_952, "2/1/1/1/1/1/1"),
    ("nvidia/NVIDIA-Nemotron-Nano-9B-v2", 229_376, "2/1/1/1/1/1/1"),
    ("nvidia/NVIDIA-Nemotron-3-Nano-4B-BF16", 172_032, "1/1/1/1/1/1/1"),
    ("Qwen/Qwen3-8B-AWQ", 147_456, "1/1/1/1/1/1/1"),
    ("google/gemma-4-31B-it", 983_040, "4/1/1/1/1/1/1"),
    ("google/gemma-4-26B-A4B-it", 245_760, "3/1/1/1/1/1/1"),
    ("google/gemma-4-E4B-it", 86_016, "1/1/1/1/1/1/1"),
    ("google/gemma-4-E2B-it", 35_840, "1/1/1/1/1/1/1"),
    ("mistralai/Mistral-Small-4-119B-2603", 23_040, "7/2/1/1/2/1/1"),
    ("mistralai/Mistral-Small-4-119B-2603-NVFP4", 23_040, "4/2/1/1/1/1/1"),
    ("Qwen/Qwen3.5-2B", 49_152, "1/1/1/1/1/1/1"),
    ("Qwen/Qwen3.5-4B", 131_072, "1/1/1/1/1/1/1"),
    ("Qwen/Qwen3.5-9B", 131_072, "2/1/1/1/1/1/1"),
    ("Qwen/Qwen3.5-122B-A10B-GPTQ-Int4", 98_304, "5/2/1/1/2/1/1"),
    ("Qwen/Qwen3.5-122B-A10B", 98_304, "15/4/2/1/4/1/1"),
    ("Qwen/Qwen3.6-35B-A3B-FP8", 81_920, "3/1/1/1/1/1/1"),
    ("Qwen/Qwen3.6-35B-A3B", 81_920, "5/2/1/1/1/1/1"),
    ("Qwen/Qwen3.6-27B", 262_144, "4/1/1/1/1/1/1"),
    ("Qwen/Qwen3.5-397B-A17B-GPTQ-Int4", 122_880, "14/4/2/1/4/1/1"),
    ("moonshotai/Kimi-K2.5", 70_272, "34/10/5/3/8/2/1"),
    ("moonshotai/Kimi-K2.6", 70_272, "34/10/5/3/8/2/1"),
    ("MiniMaxAI/MiniMax-M2.7", 253_952, "14/4/2/1/4/1/1"),
    ("mistralai/Mistral-Medium-3.5-128B", 360_448, "8/3/2/1/2/1/1"),
    ("deepseek-ai/DeepSeek-V4-Flash-0731", 88_064, "10/3/2/1/3/1/1"),
    ("deepseek-ai/DeepSeek-V4-Pro", 124_928, "49/14/7/4/12/2/1"),
    ("google/gemma-4-12B-it", 393_216, "2/1/1/1/1/1/1"),
    ("zai-org/GLM-5.2-FP8", 89_856, "43/12/6/3/10/2/1"),
    ("moonshotai/Kimi-K2.7-Code", 70_272, "34/10/5/3/8/2/1"),
    ("nvidia/NVIDIA-Nemotron-3-Ultra-550B-A55B-NVFP4", 110_592, "20/6/3/2/5/1/1"),
    ("deepseek-ai/DeepSeek-V3.2", 70_272, "39/11/6/3/9/2/1"),
    ("ibm-granite/granite-4.1-8b", 163_840, "1/1/1/1/1/1/1"),
    ("Qwen/Qwen3.8-27B", 262_144, "4/1/1/1/1/1/1"),
]

# vLLM has no kernels of their attention for GPUs before Hopper: KAITO's plans would not load there, and Modelyard makes
# none.
SPARSE = ["deepseek-v3.2", "deepseek-v4-flash-0731", "deepseek-v4-pro", "glm-5.2-fp8"]
BEFORE_HOPPER = [
    "Standard_NV36ads_A10_v5",
    "Standard_NV72ads_A10_v5",
    "Standard_NC24ads_A100_v4",
    "Standard_NC48ads_A100_v4",
    "Standard_NC96ads_A100_v4",
    "Standard_ND96asr_A100_v4",
    "Standard_ND96amsr_A100_v4",
]

# Where Modelyard takes more nodes than KAITO with the same margin: KAITO's plan would not load.
# weights: those of the fullest stage alone exceed what vLLM may use of a GPU. memory: with cache, runtime and
# activations they do.
DEARER = [
    ("deepseek-r1-0528", "Standard_NV36ads_A10_v5", (2048, 8192, 32768), "weights"),
    ("deepseek-r1-0528", "Standard_NV72ads_A10_v5", (2048, 8192), "weights"),
    ("deepseek-r1-distill-qwen-14b", "Standard_NV72ads_A10_v5", (32768,), "memory"),
    ("deepseek-v3-0324", "Standard_NV36ads_A10_v5", (2048, 8192, 32768), "weights"),
    ("deepseek-v3-0324", "Standard_NV72ads_A10_v5", (2048, 8192), "weights"),
    ("deepseek-v4-pro", "Standard_NC40ads_H100_v5", (2048, 8192, 32768), "weights"),
    ("deepseek-v4-pro", "Standard_NCC40ads_H100_v5", (2048, 8192, 32768), "weights"),
    ("gemma-4-26b-a4b-it", "Standard_NV36ads_A10_v5", (2048,), "memory"),
    ("gemma-4-31b-it", "Standard_NV36ads_A10_v5", (2048,), "memory"),
    ("granite-4.1-8b", "Standard_NV36ads_A10_v5", (2048,), "memory"),
    ("kimi-k2.5", "Standard_NV36ads_A10_v5", (2048, 8192, 32768), "weights"),
    ("kimi-k2.5", "Standard_NV72ads_A10_v5", (2048, 8192, 32768), "weights"),
    ("kimi-k2.6", "Standard_NV36ads_A10_v5", (2048, 8192, 32768), "weights"),
    ("kimi-k2.6", "Standard_NV72ads_A10_v5", (2048, 8192, 32768), "weights"),
    ("kimi-k2.7-code", "Standard_NV36ads_A10_v5", (2048, 8192, 32768), "weights"),
    ("kimi-k2.7-code", "Standard_NV72ads_A10_v5", (2048, 8192, 32768), "weights"),
    ("llama-3.3-70b-instruct", "Standard_NV36ads_A10_v5", (2048,), "memory"),
    ("minimax-m2.7", "Standard_NV36ads_A10_v5", (2048, 8192), "memory"),
    ("mistral-large-3-675b-instruct", "Standard_NV36ads_A10_v5", (2048, 8192, 32768), "weights"),
    ("mistral-large-3-675b-instruct", "Standard_NV72ads_A10_v5", (2048, 8192), "weights"),
    ("mistral-medium-3.5-128b", "Standard_NV36ads_A10_v5", (2048,), "memory"),
    ("mistral-small-4-119b-2603", "Standard_NV36ads_A10_v5", (2048, 8192), "weights"),
    ("mistral-small-4-119b-2603-nvfp4", "Standard_NV36ads_A10_v5", (2048, 8192), "memory"),
    ("nvidia-nemotron-3-super-120b-a12b-bf16", "Standard_NV36ads_A10_v5", (2048,), "weights"),
    ("nvidia-nemotron-3-super-120b-a12b-bf16", "Standard_NV72ads_A10_v5", (2048,), "memory"),
    ("nvidia-nemotron-3-ultra-550b-a55b-nvfp4", "Standard_NV36ads_A10_v5", (2048, 8192), "weights"),
    ("nvidia-nemotron-3-ultra-550b-a55b-nvfp4", "Standard_NV72ads_A10_v5", (2048,), "memory"),
    ("qwen3.5-122b-a10b", "Standard_NV36ads_A10_v5", (2048, 8192), "weights"),
    ("qwen3.5-397b-a17b-gptq-int4", "Standard_NV36ads_A10_v5", (2048, 8192), "memory"),
]


@functools.cache
def compared() -> tuple[Comparison, ...]:
    return tuple(comparisons())


def on_nvidia() -> list[Comparison]:
    return [each for each in compared() if find_node_size(each.size).gpu.vendor == "nvidia"]


@pytest.mark.parametrize(("repository", "token_bytes", "nodes"), KAITO, ids=[model[0] for model in KAITO])
def test_the_estimate_is_kaito_s(repository: str, token_bytes: int, nodes: str) -> None:
    model = kaito_models()[repository]
    found = [estimate(model, kaito_sizes()[size], 2048).nodes() for size in ESTIMATED]
    assert model.token_bytes == token_bytes
    assert "/".join(map(str, found)) == nodes


def test_all_models_of_kaito_are_estimated_and_all_presets_compared() -> None:
    assert len({model for model, *_ in KAITO}) == 60
    assert {preset.repository.name for preset in catalog().values()} == set(kaito_models())
    assert len(kaito_sizes()) == 14
    wanted = {
        (name, size, context)
        for name, preset in catalog().items()
        for size in kaito_sizes()
        for context in contexts_of(preset)
    }
    assert {(each.preset, each.size, each.context) for each in compared()} == wanted


@pytest.mark.parametrize(
    ("model", "size", "nodes", "sizes"),
    [
        ("microsoft/phi-4", "Standard_NC96ads_A100_v4", 1, (1, 1)),
        ("microsoft/phi-4", "Standard_ND96asr_A100_v4", 1, (8, 1)),
        ("meta-llama/Llama-3.3-70B-Instruct", "Standard_NC48ads_A100_v4", 2, (2, 2)),
        ("openai/gpt-oss-120b", "Standard_NC24ads_A100_v4", 3, (1, 3)),
    ],
)
def test_kaito_starts_vllm_as_its_code_does(model: str, size: str, nodes: int, sizes: tuple[int, int]) -> None:
    assert parallelism(kaito_models()[model], kaito_sizes()[size], nodes) == sizes


def test_modelyard_takes_more_nodes_only_where_the_plan_of_kaito_would_not_load() -> None:
    dearer = {
        (each.preset, each.size, each.context): each.failure.kind if each.failure else each.why
        for each in on_nvidia()
        if each.verdict == "more expensive"
    }
    named = {(preset, size, context): kind for preset, size, contexts, kind in DEARER for context in contexts}
    assert dearer.items() - named.items() == set(), "more expensive, and not named here"
    assert named.items() - dearer.items() == set(), "named here, and not more expensive any more"


def test_modelyard_plans_none_where_kaito_does_only_for_sparse_attention_on_gpus_before_hopper() -> None:
    unplanned = {
        (each.preset, each.size, each.context): each.failure.kind if each.failure else each.why
        for each in on_nvidia()
        if each.verdict == "only KAITO"
    }
    assert unplanned == {
        (preset, size, context): "compute capability"
        for preset in SPARSE
        for size in BEFORE_HOPPER
        for context in contexts_of(catalog()[preset])
    }


def test_a_plan_for_gpus_without_kernels_for_the_model_says_so_once_and_blames_no_memory() -> None:
    found = compare("deepseek-v3.2", "Standard_ND96amsr_A100_v4", 2048)
    assert found.why == (
        "compute capability of the GPU 2 → none; KAITO's would not load: A100-80GB has compute capability 8.0, "
        "and attention over tokens that an indexer chooses needs 9.0 or more"
    )


@pytest.mark.parametrize(("preset", "size", "contexts", "kind"), DEARER)
def test_a_plan_of_kaito_that_would_not_load_says_what_a_gpu_needs(
    preset: str, size: str, contexts: tuple[int, ...], kind: str
) -> None:
    for context in contexts:
        why = compare(preset, size, context).why
        words = "weights alone are too much" if kind == "weights" else "a GPU needs"
        assert f"KAITO's would not load: {words}" in why


def test_a_plan_whose_tensor_size_divides_no_heads_would_not_load() -> None:
    found = [each for each in on_nvidia() if each.failure and each.failure.kind == "heads"]
    assert {each.preset for each in found} == {"phi-4", "phi-3-medium-4k-instruct", "phi-3-medium-128k-instruct"}
    for each in found:
        assert each.failure is not None
        assert "tensor parallel size 8 does not divide 10 heads" in each.failure.text
        assert 8 not in tensor_sizes(catalog()[each.preset].shape, 8)
        assert each.ours == 1, "with fewer of the node's GPUs it loads"


@pytest.mark.parametrize("context", [2048, 8192, 32768])
def test_gpt_oss_120b_takes_at_most_two_nodes_where_kaito_takes_three(context: int) -> None:
    found = compare("gpt-oss-120b", "Standard_NC24ads_A100_v4", context)
    assert found.kaito == 3
    assert found.ours is not None
    assert found.ours_by_default is not None
    assert found.ours_by_default <= found.ours <= 2
    assert "copies of weights not counted" in found.why


def test_every_difference_has_its_steps_and_they_lead_from_kaito_s_number_to_ours() -> None:
    for each in on_nvidia():
        numbers = [each.kaito, *(step.after for step in each.steps)]
        assert [step.before for step in each.steps] == numbers[:-1], each
        assert numbers[-1] == each.ours_by_default, each


def test_the_cache_that_kaito_counts_on_every_node_is_named_where_it_gives_up() -> None:
    found = compare("gemma-4-31b-it", "Standard_NV36ads_A10_v5", 32768)
    assert found.kaito is None
    assert found.verdict == "only Modelyard"
    assert "KAITO: GPU memory is too small; cache by kind of layer none →" in found.why


def test_a_margin_of_its_own_never_takes_more_nodes() -> None:
    for each in on_nvidia():
        if each.ours is not None:
            assert each.ours_by_default is not None
            assert each.ours_by_default <= each.ours


def test_amd_is_said_and_left_out_of_the_figures() -> None:
    found = compare("phi-4", "Standard_NG32ads_V620_v1", 2048)
    assert found.ours is None
    assert "nvidia.com/gpu" in found.why
    assert any("AMD" in line for line in summary(compared()))
    assert not any("V620" in row[1] for row in report(compared(), [], HERE).rows)


def test_the_summary_counts_what_was_compared() -> None:
    verdicts = Counter(each.verdict for each in on_nvidia())
    text = "\n".join(summary(compared()))
    assert f"{len(compared())} combinations: {len(catalog())} presets, 14 sizes" in text
    assert f"{verdicts['cheaper']} cheaper, {verdicts['equal']} equal, {verdicts['more expensive']} more" in text
    assert "although KAITO's would load: none" in text
    assert f"compute capability: {', '.join(SPARSE)} on A10, A100-40GB, A100-80GB" in text


def test_without_an_instance_type_the_choice_is_no_dearer_than_kaito_s_default_but_for_large_models() -> None:
    chosen = list(choices())
    assert [choice.preset for choice in chosen] == list(catalog())
    for choice in chosen:
        if choice.why:
            continue
        assert choice.per_hour is not None
        assert choice.kaito_per_hour is not None
        assert choice.per_hour <= choice.kaito_per_hour, choice


def test_the_benchmark_needs_neither_pulumi_nor_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr("benchmarks.environment.serving_python", lambda: tmp_path / "python")
    assert main(["plan_vs_kaito", "--results", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    document = json.loads((tmp_path / "plan_vs_kaito.json").read_text(encoding="utf-8"))
    assert len(document["runs"]) == len(compared()) + len(catalog())
    assert set(document["table"][0]) >= {"preset", "KAITO", "at 84%", "KAITO's US$/h", "why"}
    for note in document["notes"]:
        assert note in printed
