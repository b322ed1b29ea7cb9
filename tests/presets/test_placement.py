"""Where models fit, on how many nodes, and what holds of every placement."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from presets.catalog import catalog, find_preset
from presets.engines import default_dtype, default_engine, forbidden
from presets.memory import GIB, kv_cache_bytes
from presets.node_sizes import NodeSize, find_node_size, gpu_models, node_sizes, with_mig
from presets.parallelism import Load, Split, need_of_gpu, room_of_gpu, splits, tensor_sizes
from presets.placement import ADAPTER_SLOTS, Demand, Misfit, Placement, place
from presets.serve_config import LoadQuantization

NVIDIA = sorted(name for name, size in node_sizes().items() if size.gpu.vendor == "nvidia")
SIXTEEN_BITS = sorted(name for name, preset in catalog().items() if preset.quantization is None)
ADAPTABLE = sorted(name for name, preset in catalog().items() if preset.lora_targets)

presets = st.sampled_from(sorted(catalog()))
sizes = st.sampled_from(NVIDIA)
methods: st.SearchStrategy[LoadQuantization] = st.sampled_from(["int8", "nf4"])
contexts = st.integers(1, 40_000)
sequences = st.integers(1, 300)
divisions = st.builds(
    lambda tensor, pipeline: Split(tensor=tensor, pipeline=pipeline), st.integers(1, 8), st.integers(1, 8)
)


def fits(name: str, size: str, **asked: object) -> Placement:
    found = place(Demand(preset=find_preset(name), **asked), find_node_size(size))  # pyright: ignore[reportArgumentType]
    assert isinstance(found, Placement), found
    return found


def refused(name: str, size: str, **asked: object) -> Misfit:
    found = place(Demand(preset=find_preset(name), **asked), find_node_size(size))  # pyright: ignore[reportArgumentType]
    assert isinstance(found, Misfit), found
    return found


def load_of(name: str, context: int, count: int, ranks: tuple[int, ...] = ()) -> Load:
    return Load(
        preset=find_preset(name), engine="vllm", dtype="bfloat16", context=context, sequences=count, adapter_ranks=ranks
    )


def test_phi_3_mini_fits_one_v100_in_float16_with_the_engine_that_a_v100_can_run() -> None:
    placement = fits("phi-3-mini-4k-instruct", "Standard_NC6s_v3")
    assert (placement.nodes, placement.load.dtype, placement.load.engine) == (1, "float16", "transformers")
    assert placement.load.context == 4096
    assert placement.need.total <= placement.room < 15.8 * GIB


@pytest.mark.parametrize("context", [2048, 8192, 32768])
def test_gpt_oss_120b_needs_no_more_than_two_a100(context: int) -> None:
    assert fits("gpt-oss-120b", "Standard_NC24ads_A100_v4", context=context).nodes <= 2


def test_a_v100_refuses_what_its_compute_capability_forbids() -> None:
    assert "bfloat16 needs 8.0" in refused("phi-4-mini-instruct", "Standard_NC6s_v3", dtype="bfloat16").reason
    assert "vllm needs 7.5" in refused("phi-4-mini-instruct", "Standard_NC6s_v3", engine="vllm").reason
    assert "overflows float16" in refused("gemma-3-4b-instruct", "Standard_NC6s_v3").reason
    assert "weights in fp8 need 8.0" in refused("ministral-3-3b-instruct", "Standard_NC6s_v3").reason
    assert "GPU of AMD" in refused("phi-4", "Standard_NG32ads_V620_v1").reason


def test_an_engine_that_drives_one_gpu_does_not_spread_a_model() -> None:
    assert "transformers takes 1 GPU a replica" in refused("phi-4", "Standard_NC12s_v3").reason
    assert fits("phi-4", "Standard_NV72ads_A10_v5").split.gpus == 2


def test_a_number_of_nodes_is_filled_with_replicas_or_refused_with_the_number_that_would_do() -> None:
    assert fits("llama-3.3-70b-instruct", "Standard_NC24ads_A100_v4", nodes=6).replicas == 3
    few = refused("llama-3.3-70b-instruct", "Standard_NC24ads_A100_v4", nodes=1)
    assert few.needs_nodes == 2
    assert few.reason == "a replica needs 2 x Standard_NC24ads_A100_v4, and resource.count is 1"
    odd = fits("llama-3.3-70b-instruct", "Standard_NC24ads_A100_v4", nodes=5)
    assert (odd.replicas, odd.nodes, odd.nodes_of_replica, odd.split.pipeline) == (1, 5, 5, 5)
    assert fits("llama-3.3-70b-instruct", "Standard_NC24ads_A100_v4", nodes=6, replicas=2).nodes_of_replica == 3
    other = refused("phi-4", "Standard_NC24ads_A100_v4", nodes=3, replicas=2)
    assert other.reason == "2 replicas need 2 x Standard_NC24ads_A100_v4, and resource.count is 3"


def test_a_node_with_more_gpus_than_a_replica_needs_holds_as_many_replicas() -> None:
    placement = fits("phi-4", "Standard_NC96ads_A100_v4")
    assert (placement.replicas, placement.nodes, placement.split.gpus) == (4, 1, 1)
    assert fits("phi-4", "Standard_NC96ads_A100_v4", replicas=6).nodes == 2


def test_no_gpu_of_a_node_is_idle_that_can_help_a_replica_which_is_alone_there() -> None:
    assert fits("deepseek-v3-0324", "Standard_ND96isr_H200_v5").split == Split(tensor=8, pipeline=1)
    assert fits("phi-4", "Standard_ND96asr_v4").split.gpus == 1, "others fit beside it"


def test_gpus_share_layers_only_where_heads_divide_evenly() -> None:
    assert tensor_sizes(find_preset("phi-4").shape, 8) == [1, 2, 5], "40 heads, 10 key and value heads"
    assert tensor_sizes(find_preset("llama-3.1-8b-instruct").shape, 8) == [1, 2, 4, 8]
    assert tensor_sizes(find_preset("qwen2.5-0.5b-instruct").shape, 8) == [1, 2]


def test_slices_of_a_gpu_do_not_work_together() -> None:
    sliced = with_mig(find_node_size("Standard_ND96amsr_A100_v4"), "1g.10gb")
    small = place(Demand(preset=find_preset("smollm2-1.7b-instruct"), context=1024), sliced)
    assert isinstance(small, Placement)
    assert small.split.gpus == 1
    large = place(Demand(preset=find_preset("phi-4")), sliced)
    assert isinstance(large, Misfit)
    assert "slices of a GPU cannot share a model" in large.reason


def test_room_is_left_for_adapters_so_that_adding_one_does_not_shorten_the_context() -> None:
    size = find_node_size("Standard_NC6s_v3")
    demand = Demand(preset=find_preset("phi-3-mini-128k-instruct"))
    contexts = {
        found.load.context
        for count in range(ADAPTER_SLOTS + 1)
        if isinstance(found := place(replace(demand, adapter_ranks=(16,) * count), size), Placement)
    }
    assert len(contexts) == 1


def test_a_plan_that_does_not_fit_is_made_where_that_is_asked_for() -> None:
    demand, size = Demand(preset=find_preset("phi-4"), engine="transformers"), find_node_size("Standard_NC4as_T4_v3")
    trusted = place(demand, size, trusting=True)
    assert isinstance(trusted, Placement)
    assert trusted.need.total > trusted.room


@given(presets, sizes)
@settings(max_examples=60, deadline=None)
def test_every_model_is_placed_or_refused_with_a_reason_on_every_size(name: str, size: str) -> None:
    preset = find_preset(name)
    found = place(Demand(preset=preset), find_node_size(size))
    if isinstance(found, Misfit):
        assert found.reason
        return
    assert found.need.total <= found.room
    assert sum(found.need.parts().values()) == found.need.total, "the parts add up"
    assert min(preset.max_context, 2048) <= found.load.context <= preset.max_context
    assert preset.shape.heads % found.split.tensor == 0
    assert found.split.pipeline <= preset.shape.layer_count
    assert found.gpus >= found.split.gpus * found.replicas


@given(presets, contexts, contexts, sequences, sequences, divisions)
@settings(deadline=None)
def test_more_context_and_more_sequences_never_need_less(
    name: str, context: int, more: int, count: int, more_count: int, split: Split
) -> None:
    least = need_of_gpu(load_of(name, context, count), split).total
    assert need_of_gpu(load_of(name, context + more, count), split).total >= least
    assert need_of_gpu(load_of(name, context, count + more_count), split).total >= least


@given(st.sampled_from(ADAPTABLE), st.lists(st.integers(1, 64), max_size=8), st.integers(1, 64), divisions)
@settings(deadline=None)
def test_more_adapters_never_need_less(name: str, ranks: list[int], one_more: int, split: Split) -> None:
    few = need_of_gpu(load_of(name, 1024, 1, tuple(ranks)), split)
    many = need_of_gpu(load_of(name, 1024, 1, (*ranks, one_more)), split)
    assert many.total > few.total
    assert many.adapters > few.adapters


@given(st.sampled_from(SIXTEEN_BITS), sizes, methods, st.integers(1, 8192), st.integers(1, 16))
@settings(max_examples=60, deadline=None)
def test_quantization_never_needs_more(
    name: str, size: str, method: LoadQuantization, context: int, count: int
) -> None:
    preset, node = find_preset(name), find_node_size(size)
    asked = Demand(preset=preset, context=min(context, preset.max_context), sequences=count)
    plain, smaller = place(asked, node), place(replace(asked, quantization=method), node)
    assume(
        isinstance(plain, Placement) and not forbidden(preset, node.gpu, plain.load.engine, plain.load.dtype, method)
    )  # pyright: ignore[reportArgumentType]
    assert isinstance(plain, Placement)
    assert isinstance(smaller, Placement), smaller.reason
    assert smaller.nodes_of_replica <= plain.nodes_of_replica
    assert smaller.need.weights * smaller.split.gpus <= plain.need.weights * plain.split.gpus * 1.01


def bigger(node: NodeSize, factor: float) -> NodeSize:
    gpu = node.gpu.model_copy(update={"usable_gib": node.gpu.usable_gib * factor})
    return node.model_copy(update={"gpu": gpu})


@given(presets, sizes, st.floats(1, 4), st.integers(1, 32768), st.integers(1, 16))
@settings(max_examples=60, deadline=None)
def test_a_bigger_gpu_never_needs_more_nodes(name: str, size: str, factor: float, context: int, count: int) -> None:
    preset, node = find_preset(name), find_node_size(size)
    demand = Demand(preset=preset, context=min(context, preset.max_context), sequences=count)
    small, large = place(demand, node), place(demand, bigger(node, factor))
    if isinstance(small, Placement):
        assert isinstance(large, Placement), large.reason
        assert large.nodes_of_replica <= small.nodes_of_replica


@given(presets, st.integers(1, 20_000), divisions)
@settings(deadline=None)
def test_gpus_that_share_a_model_hold_all_of_it_together(name: str, context: int, split: Split) -> None:
    alone = need_of_gpu(load_of(name, context, 3), Split(tensor=1, pipeline=1))
    each = need_of_gpu(load_of(name, context, 3), split)
    assert each.weights * split.gpus >= alone.weights, "some weights are on no GPU"
    assert each.kv_cache * split.gpus >= alone.kv_cache, "some of the cache is on no GPU"
    assert each.weights <= alone.weights


@pytest.mark.parametrize("gpu", [name for name, model in gpu_models().items() if model.vendor == "nvidia"])
def test_what_is_chosen_by_itself_is_not_forbidden(gpu: str) -> None:
    model = gpu_models()[gpu]
    phi = find_preset("phi-3-mini-4k-instruct")
    assert not forbidden(phi, model, default_engine(model), default_dtype(model), None)
    assert room_of_gpu(model, default_engine(model)) < model.usable_gib * GIB


def test_splits_over_several_nodes_use_all_of_their_gpus() -> None:
    llama, node = find_preset("llama-3.3-70b-instruct"), find_node_size("Standard_NC48ads_A100_v4")
    assert [split.gpus for split in splits(llama, "vllm", node, 2)] == [4, 4]
    assert [split.gpus for split in splits(llama, "vllm", node, 1)] == [1, 2, 2]


def test_the_cache_of_a_sliding_window_stops_growing() -> None:
    shape = find_preset("gemma-3-27b-instruct").shape
    grows = kv_cache_bytes(shape, 20_001) - kv_cache_bytes(shape, 20_000)
    assert grows == 10 * 2 * 16 * 128 * 2, "10 of its 62 layers look back over all of the context"
    assert kv_cache_bytes(shape, 1) == 507_904, "KAITO counts as much for every token, however long"
