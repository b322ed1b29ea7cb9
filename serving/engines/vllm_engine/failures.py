"""Why vLLM did not start, in the words of whoever can mend it."""

from __future__ import annotations

import re
from typing import NamedTuple

from serving.errors import StartupFailure


class _Sign(NamedTuple):
    pattern: str
    """Of what vLLM, torch or CUDA say; the first that is found counts."""
    failure: StartupFailure
    """Its message is followed by the line that was found."""


_SIGNS = (
    _Sign(
        r"larger than the available KV cache memory|KV cache is needed",
        StartupFailure(
            "OutOfMemory",
            "the KV cache of one sequence does not fit beside the weights; set inference.config.maxContext lower, or "
            "take a GPU with more memory",
        ),
    ),
    _Sign(
        r"out of memory|OutOfMemoryError|MemoryError|No available memory for the cache blocks|can't allocate memory",
        StartupFailure(
            "OutOfMemory", "the model does not fit into memory; choose a smaller model, nf4, or more or larger GPUs"
        ),
    ),
    _Sign(
        r"Free memory on device .* is less than desired",
        StartupFailure(
            "OutOfMemory", "another process holds memory of the GPU; end it, or set gpu-memory-utilization lower"
        ),
    ),
    _Sign(
        r"architectures .* are not supported|has no vLLM implementation|does not recognize this architecture",
        StartupFailure(
            "UnsupportedArchitecture", "this vLLM has no such model; take a newer vLLM, or engine: transformers"
        ),
    ),
    _Sign(
        r"User-specified max_model_len",
        StartupFailure("ContextTooLong", "the model was made for less; set inference.config.maxContext lower"),
    ),
    _Sign(
        r"(Unknown|Invalid) quantization method|quantization method .* not (found|supported)|bitsandbytes",
        StartupFailure(
            "QuantizationUnsupported",
            "this vLLM does not make such weights; nf4 needs the package vllm-bnb-plugin beside it",
        ),
    ),
    _Sign(
        r"unexpected keyword argument",
        StartupFailure(
            "EngineArgumentRefused", "inference.config.vllm has an argument that this vLLM has not; remove it"
        ),
    ),
    _Sign(
        r"Failed to infer device type|no CUDA-capable device|driver version is insufficient|No CUDA GPUs are available",
        StartupFailure(
            "DeviceNotFound", "vLLM finds no device that it was built for; give the replica a GPU and check its driver"
        ),
    ),
)

_EXCEPTION = re.compile(r"(?:\w+\.)*\w*(?:Error|Exception)\b: .+")
_NO_CAUSE = re.compile(r"See (root cause|stack trace) above|in a background process|initialization failed")


def startup_failure(error: Exception, log: str) -> StartupFailure:
    """What keeps vLLM from starting. `log`: the errors that its processes have logged, since `error` may name no cause.

    >>> print(startup_failure(RuntimeError("See root cause above."), "torch.OutOfMemoryError: CUDA out of memory."))
    [OutOfMemory] the model does not fit into memory; choose a smaller model, nf4, or more or larger GPUs (vLLM: \
torch.OutOfMemoryError: CUDA out of memory.)
    """
    if isinstance(error, StartupFailure):
        return error
    lines = [f"{type(error).__name__}: {error}", *log.splitlines()]
    for sign in _SIGNS:
        for line in lines:
            if found := re.search(rf".*(?:{sign.pattern}).*", line):
                return StartupFailure(sign.failure.reason, f"{sign.failure.message} (vLLM: {_short(found[0])})")
    return StartupFailure("EngineNotStarted", f"vLLM did not start: {_short(_cause(lines))}; its log is on stderr")


def _cause(lines: list[str]) -> str:
    """The first exception that says something of its own."""
    for line in lines:
        if (found := _EXCEPTION.search(line)) and not _NO_CAUSE.search(line):
            return found[0]
    return lines[0]


def _short(line: str, limit: int = 400) -> str:
    plain = " ".join(line.split())
    return plain if len(plain) <= limit else plain[: limit - 1] + "…"
