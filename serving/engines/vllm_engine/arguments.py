"""From the plan's engine arguments to the fields of vLLM's AsyncEngineArgs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import JsonValue

from presets.serve_config import MOST_RANK, EngineArgs, LoadQuantization, VllmArgs, kernel_rank
from serving.engines.protocol import MAX_LOGPROBS
from serving.errors import StartupFailure

Arguments = dict[str, JsonValue]

_TRUE_OF_EVERY_ENGINE: Arguments = {
    # Log probabilities are the model's own: before temperature, penalties and limits.
    "logprobs_mode": "raw_logprobs",
    "max_logprobs": MAX_LOGPROBS,
    # Defaults of sampling and stop tokens are the API's business; vLLM would read its own from the model's files.
    "generation_config": "vllm",
    # The grammars of requests are llguidance's.
    "structured_outputs_config": {"backend": "guidance"},
    "disable_log_stats": True,
    "seed": 0,
}


def launch_arguments(args: EngineArgs, model_dir: Path, *, trust_remote_code: bool) -> Arguments:
    """Fields of vLLM's AsyncEngineArgs, sorted by name; the same arguments give the same fields.

    Raises StartupFailure for what vLLM does not do, and for a further argument that contradicts the plan.

    >>> args = EngineArgs(kind="vllm", max_context=4096, max_sequences=8, vllm=VllmArgs(tensor_parallel=2))
    >>> fields = launch_arguments(args, Path("/weights"), trust_remote_code=False)
    >>> fields["tensor_parallel_size"], fields["distributed_executor_backend"], fields["max_model_len"]
    (2, 'mp', 4096)
    """
    vllm = args.vllm or VllmArgs()
    decided: Arguments = {
        **_TRUE_OF_EVERY_ENGINE,
        "model": str(model_dir),
        "dtype": args.dtype,
        "max_model_len": args.max_context,
        "max_num_seqs": args.max_sequences,
        "trust_remote_code": trust_remote_code,
        "tensor_parallel_size": vllm.tensor_parallel,
        "pipeline_parallel_size": vllm.pipeline_parallel,
        "gpu_memory_utilization": vllm.gpu_memory_utilization,
        **_spread(vllm),
        **_quantization(args.quantization),
        **_adapters(vllm),
    }
    further = further_arguments(vllm.arguments)
    contradicting = sorted((further.keys() & decided.keys()) - {"seed"})
    if contradicting:
        name = contradicting[0].replace("_", "-")
        raise StartupFailure(
            "EngineArgumentRefused",
            f"inference.config.vllm has {name}, which is decided already ({decided[contradicting[0]]}); remove it",
        )
    return dict(sorted({**decided, **further}.items()))


def further_arguments(given: Mapping[str, str | int | float | bool]) -> Arguments:
    """Arguments as on vLLM's command line, as fields.

    Dots lead into a field that is an object, `no-` in front of a switch turns it off, and text that is a JSON object
    becomes that object, all as vLLM's command line has it.

    >>> further_arguments({"enforce-eager": True, "no-async-scheduling": True, "compilation-config.mode": 0})
    {'enforce_eager': True, 'async_scheduling': False, 'compilation_config': {'mode': 0}}
    """
    fields: Arguments = {}
    for name, value in given.items():
        *outer, last = name.split(".")
        if last.startswith("no-") and isinstance(value, bool):
            last, value = last.removeprefix("no-"), not value
        here = fields
        for part in outer:
            nested = here.setdefault(_field(part), {})
            if not isinstance(nested, dict):
                raise StartupFailure("EngineArgumentRefused", f"{name} is inside of {part}, which has a value itself")
            here = nested
        here[_field(last)] = _value(value)
    return fields


def _field(name: str) -> str:
    return name.replace("-", "_")


def _value(value: str | int | float | bool) -> JsonValue:
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _spread(vllm: VllmArgs) -> Arguments:
    """Processes of one machine by themselves, those of several through Ray, which the replica is a part of anyway."""
    if vllm.nodes > 1:
        return {"distributed_executor_backend": "ray"}
    if vllm.tensor_parallel * vllm.pipeline_parallel > 1:
        return {"distributed_executor_backend": "mp"}
    return {}


def _quantization(quantization: LoadQuantization | None) -> Arguments:
    """What vLLM makes of weights in 16 bits: 4 bits with bitsandbytes, whose plugin is a package of its own."""
    if quantization is None:
        return {}
    if quantization == "nf4":
        return {"quantization": "bitsandbytes"}
    raise StartupFailure(
        "QuantizationUnsupported",
        f"vLLM does not make {quantization} of weights when it loads them; use nf4, or engine: transformers",
    )


def _adapters(vllm: VllmArgs) -> Arguments:
    """Every adapter may be in one batch; twice as many are kept, so that a new version need not drive out another."""
    if not vllm.max_adapters:
        return {}
    return {
        "enable_lora": True,
        "max_loras": vllm.max_adapters,
        "max_cpu_loras": 2 * vllm.max_adapters,
        "max_lora_rank": _kernel_rank(vllm.max_adapter_rank),
    }


def _kernel_rank(rank: int) -> int:
    """Raises StartupFailure for a rank that vLLM serves none of."""
    try:
        return kernel_rank(rank)
    except ValueError as error:
        raise StartupFailure(
            "RankUnsupported",
            f"vLLM serves adapters up to rank {MOST_RANK}, not {rank}; use engine: transformers",
        ) from error
