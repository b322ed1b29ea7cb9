"""Measured values that nobody had to measure."""

from __future__ import annotations

import json
from typing import Any

from benchmarks.client import Arrival
from benchmarks.cpu import CpuUse
from benchmarks.environment import Environment
from benchmarks.measurement import Measurement
from benchmarks.service import LLAMA, MODELYARD, TRANSFORMERS, VLLM

HERE = Environment(
    date="2026-11-23T15:00:00Z",
    cores=2,
    memory_gib=23.5,
    cpu="AMD EPYC",
    gpus=(),
    system="Linux x86_64",
    commit="3f2a91c",
    changed=False,
    versions={"python": "3.11.7", "ray": "2.60.0", "torch": "2.13.0", "transformers": "5.23.0"},
    load_average=(0.1, 0.2, 0.3),
)


def measured(tokens_per_second: float = 60.0, **more: Any) -> Measurement:  # noqa: ANN401 - any field
    """A measurement of Modelyard with one client, undisturbed."""
    strangers = more.pop("strangers", 0.0)
    idle = more.pop("idle", 0.0)
    service = more.pop("service", MODELYARD)
    program = service.partition(", ")[0]
    services = {name: 1.8 if name == program else idle for name in (MODELYARD, VLLM, LLAMA, TRANSFORMERS)}
    values: dict[str, Any] = {
        "service": service,
        "program": program,
        "run": 0,
        "clients": 1,
        "each": 4,
        "attempt": 1,
        "seconds": 4.0,
        "tokens": 240,
        "first_tokens": [40.0, 42.0],
        "first_token_p50": 41.0,
        "first_token_p95": 42.0,
        "gap_p50": 14.0,
        "gap_p95": 16.0,
        "gap_max": 20.0,
        "stopped_early": 0,
        "cpu": CpuUse(services=services, client=0.05, strangers=strangers),
        "memory_mib": 2048.0,
        "load_average": 0.5,
    }
    values |= {"tokens_per_second": tokens_per_second, **more}
    return Measurement(**values)


def event(seconds: float, **fields: object) -> Arrival:
    """One server-sent event that came whole."""
    return Arrival(seconds, b"data: " + json.dumps(fields).encode() + b"\n\n")


def piece(seconds: float, text: str) -> Arrival:
    return event(seconds, choices=[{"delta": {"content": text}, "finish_reason": None}])
