"""What a replica on nodes is told of its engine."""

from __future__ import annotations

from components.planning.cluster_engine import engine_args
from presets.serve_config import EngineArgs, VllmArgs
from tests.planning.builders import only

STACK = """
target: aks
workspaces:
  - name: chat
    inference:
      preset: {name: %s}
      config: {%s}
      adapters: [%s]
    resource: {instanceType: %s}
"""
ADAPTER = "{source: {name: %s, image: 'registry.example.com/a:1'}, rank: %d}"


def args(preset: str, size: str, config: str = "", *adapters: str) -> EngineArgs:
    return engine_args(only(STACK % (preset, config, ", ".join(adapters), size)))


def vllm_args(preset: str, size: str, config: str = "", *adapters: str) -> VllmArgs:
    vllm = args(preset, size, config, *adapters).vllm
    assert vllm is not None
    return vllm


def test_the_engine_is_told_what_its_memory_was_counted_with() -> None:
    told = args("phi-4", "Standard_NC24ads_A100_v4", "maxContext: 8192, maxSequences: 4, dtype: float16")
    assert told.vllm is not None
    assert (told.kind, told.dtype, told.max_context, told.max_sequences) == ("vllm", "float16", 8192, 4)
    assert (told.vllm.tensor_parallel, told.vllm.pipeline_parallel, told.vllm.nodes) == (1, 1, 1)
    assert told.vllm.gpu_memory_utilization == 0.9


def test_a_model_over_several_nodes_is_told_its_stages() -> None:
    told = vllm_args("phi-4", "Standard_NC4as_T4_v3")
    assert (told.tensor_parallel, told.pipeline_parallel, told.nodes) == (1, 3, 3)


def test_arguments_that_the_plan_or_the_api_has_taken_are_not_told_again() -> None:
    vllm = "vllm: {gpu-memory-utilization: 0.5, enforce-eager: true, tool-call-parser: hermes}"
    told = vllm_args("phi-4", "Standard_NC24ads_A100_v4", vllm)
    assert told.gpu_memory_utilization == 0.5
    assert told.arguments == {"enforce-eager": True}


def test_either_engine_is_told_what_its_weights_become() -> None:
    assert args("phi-4", "Standard_NC24ads_A100_v4", "quantization: nf4").quantization == "nf4"
    assert args("phi-4", "Standard_NC24ads_A100_v4", "quantization: int8").kind == "transformers"
    assert args("phi-4", "Standard_NC24ads_A100_v4", "quantization: int8").quantization == "int8"


def test_there_is_room_for_each_adapter_at_the_largest_rank() -> None:
    told = vllm_args("phi-4", "Standard_NC24ads_A100_v4", "", ADAPTER % ("one", 8), ADAPTER % ("two", 32))
    assert (told.max_adapters, told.max_adapter_rank) == (2, 32)
    assert vllm_args("phi-4", "Standard_NC24ads_A100_v4").max_adapters == 0


def test_a_gpu_without_kernels_of_vllm_gets_transformers() -> None:
    told = args("phi-3-mini-4k-instruct", "Standard_NC6s_v3")
    assert (told.kind, told.vllm) == ("transformers", None)
