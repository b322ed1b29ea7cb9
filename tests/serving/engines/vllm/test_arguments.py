"""What vLLM is told of a plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from presets.serve_config import EngineArgs, LoadQuantization, VllmArgs
from serving.engines.build import build_engine
from serving.engines.process.engine_process import EngineProcess
from serving.engines.vllm_engine.arguments import launch_arguments
from serving.engines.vllm_engine.engine import VllmEngine
from serving.errors import StartupFailure

WEIGHTS = Path("/cache/weights")


def plan(quantization: LoadQuantization | None = None, **vllm: Any) -> EngineArgs:
    return EngineArgs(
        kind="vllm",
        dtype="float16",
        quantization=quantization,
        max_context=4096,
        max_sequences=64,
        vllm=VllmArgs(**vllm),
    )


def arguments(quantization: LoadQuantization | None = None, **vllm: Any) -> dict[str, Any]:
    return launch_arguments(plan(quantization, **vllm), WEIGHTS, trust_remote_code=False)


def test_the_least_that_vllm_is_told_is_all_that_the_plan_counts_with() -> None:
    assert arguments() == {
        "disable_log_stats": True,
        "dtype": "float16",
        "generation_config": "vllm",
        "gpu_memory_utilization": 0.9,
        "logprobs_mode": "raw_logprobs",
        "max_logprobs": 20,
        "max_model_len": 4096,
        "max_num_seqs": 64,
        "model": "/cache/weights",
        "pipeline_parallel_size": 1,
        "seed": 0,
        "structured_outputs_config": {"backend": "guidance"},
        "tensor_parallel_size": 1,
        "trust_remote_code": False,
    }


@pytest.mark.parametrize(
    ("vllm", "added"),
    [
        ({"tensor_parallel": 4}, {"tensor_parallel_size": 4, "distributed_executor_backend": "mp"}),
        (
            {"tensor_parallel": 8, "pipeline_parallel": 2, "nodes": 2},
            {"tensor_parallel_size": 8, "pipeline_parallel_size": 2, "distributed_executor_backend": "ray"},
        ),
        ({"gpu_memory_utilization": 0.5}, {"gpu_memory_utilization": 0.5}),
        ({"quantization": "nf4"}, {"quantization": "bitsandbytes"}),
        (
            {"max_adapters": 3, "max_adapter_rank": 24},
            {"enable_lora": True, "max_loras": 3, "max_cpu_loras": 6, "max_lora_rank": 32},
        ),
        (
            {"arguments": {"enforce-eager": True, "kv-cache-dtype": "fp8"}},
            {"enforce_eager": True, "kv_cache_dtype": "fp8"},
        ),
        ({"arguments": {"no-enable-prefix-caching": True}}, {"enable_prefix_caching": False}),
        ({"arguments": {"compilation-config.mode": 3}}, {"compilation_config": {"mode": 3}}),
        ({"arguments": {"hf-overrides": '{"rope_theta": 1e6}'}}, {"hf_overrides": {"rope_theta": 1e6}}),
        ({"arguments": {"seed": 7}}, {"seed": 7}),
    ],
)
def test_what_a_plan_adds(vllm: dict[str, Any], added: dict[str, Any]) -> None:
    assert arguments(**vllm) == arguments() | added


def test_the_order_of_the_arguments_does_not_show() -> None:
    given = {"enforce-eager": True, "block-size": 16}
    one, other = arguments(arguments=given), arguments(arguments=dict(reversed(given.items())))
    assert list(one) == list(other) == sorted(one)


@pytest.mark.parametrize(
    ("vllm", "message"),
    [
        ({"quantization": "int8"}, r"QuantizationUnsupported.*nf4, or engine: transformers"),
        ({"max_adapters": 1, "max_adapter_rank": 1024}, r"RankUnsupported.*up to rank 512"),
        ({"arguments": {"max-model-len": 10}}, r"EngineArgumentRefused.*max-model-len.*4096"),
        ({"arguments": {"logprobs-mode": "processed_logits"}}, "EngineArgumentRefused.*logprobs-mode"),
        ({"arguments": {"a": 1, "a.b": 2}}, r"EngineArgumentRefused.*a\.b is inside of a"),
    ],
)
def test_what_vllm_would_not_do_as_planned_is_refused(vllm: dict[str, Any], message: str) -> None:
    with pytest.raises(StartupFailure, match=message):
        arguments(**vllm)


def test_the_kind_of_engine_is_the_plans() -> None:
    local = EngineArgs(max_context=64, max_sequences=1)
    assert isinstance(build_engine(local, WEIGHTS, trust_remote_code=False), EngineProcess)
    assert isinstance(build_engine(plan(), WEIGHTS, trust_remote_code=False), VllmEngine)
    with pytest.raises(ValueError, match="vllm has to be there with kind vllm"):
        EngineArgs(kind="vllm", max_context=64, max_sequences=1)
