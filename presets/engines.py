"""What engines, number types and quantizations ask of a GPU: the facts of engines.yaml, and the rules they make."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from presets.catalog import Preset
from presets.facts import Fact, as_tuple, read_facts
from presets.node_sizes import GpuModel
from presets.serve_config import Dtype, LoadQuantization

EngineName = Literal["transformers", "vllm"]

_FILE = Path(__file__).parent / "engines.yaml"


class EngineFacts(Fact):
    compute_capability: float = Field(ge=0)
    """The least that it runs on."""
    gpus_per_replica: int = Field(ge=1)
    """At most."""
    utilization: float = Field(gt=0, le=1)
    """Part of a GPU's usable memory that is planned for."""
    runtime_gib: float = Field(gt=0)
    """On every GPU, whatever the model: context, communication, workspaces, graphs."""
    load_quantizations: Annotated[tuple[LoadQuantization, ...], BeforeValidator(as_tuple)]
    """That it can apply to weights published in 16 bits."""
    architectures: Annotated[tuple[str, ...], BeforeValidator(as_tuple)]
    """That it serves; empty: not listed here."""


class _Facts(Fact):
    engines: dict[EngineName, EngineFacts]
    sparse_attention: float
    dtypes: dict[Dtype, float]
    quantizations: dict[str, float]


@functools.cache
def _facts() -> _Facts:
    return _Facts.model_validate(read_facts(_FILE))


def engine_facts(name: EngineName) -> EngineFacts:
    return _facts().engines[name]


def quantization_methods() -> frozenset[str]:
    """Formats of weights that have a rule."""
    return frozenset(_facts().quantizations)


def default_dtype(gpu: GpuModel) -> Dtype:
    """bfloat16 where the GPU computes in it, otherwise float16, as vLLM's --dtype auto does for a V100 or T4."""
    return "bfloat16" if gpu.compute_capability >= _facts().dtypes["bfloat16"] else "float16"


def default_engine(gpu: GpuModel, quantization: LoadQuantization | None = None) -> EngineName:
    """vllm where it and the GPU can, otherwise transformers."""
    vllm = engine_facts("vllm")
    loads = quantization is None or quantization in vllm.load_quantizations
    return "vllm" if loads and gpu.compute_capability >= vllm.compute_capability else "transformers"


def gpu_forbids(preset: Preset, gpu: GpuModel, dtype: Dtype, quantization: LoadQuantization | None) -> str:
    """Why no engine can compute with this GPU, type and format, in one sentence; "" if one can."""
    if gpu.vendor != "nvidia":
        return f"{gpu.name} is a GPU of {gpu.vendor.upper()}, and no engine here runs without CUDA"
    has = f"{gpu.name} has compute capability {gpu.compute_capability}"
    if gpu.compute_capability < _facts().dtypes[dtype]:
        return f"{has}, and {dtype} needs {_facts().dtypes[dtype]} or more"
    method = preset.quantization.method if preset.quantization else quantization
    least = _facts().quantizations.get(method, 0.0) if method else 0.0
    if gpu.compute_capability < least:
        return f"{has}, and weights in {method} need {least} or more"
    if preset.shape.is_sparse and gpu.compute_capability < _facts().sparse_attention:
        return f"{has}, and attention over tokens that an indexer chooses needs {_facts().sparse_attention} or more"
    if dtype == "float16" and not preset.float16:
        return f"{preset.repository.name} overflows float16, and {has}: bfloat16 needs {_facts().dtypes['bfloat16']}"
    return ""


def forbidden(
    preset: Preset, gpu: GpuModel, engine: EngineName, dtype: Dtype, quantization: LoadQuantization | None
) -> str:
    """Why this engine cannot serve so, in one sentence; "" if it can."""
    if reason := gpu_forbids(preset, gpu, dtype, quantization):
        return reason
    facts = engine_facts(engine)
    if gpu.compute_capability < facts.compute_capability:
        has = f"{gpu.name} has compute capability {gpu.compute_capability}"
        return f"{has}, and {engine} needs {facts.compute_capability} or more"
    if quantization is not None and quantization not in facts.load_quantizations:
        return f"{engine} does not make {quantization} of weights when it loads them"
    if facts.architectures and preset.architecture not in facts.architectures:
        return f"engine {engine} does not serve {preset.architecture}"
    return ""
