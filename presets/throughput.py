"""How many tokens a replica generates, where somebody has measured it."""

from __future__ import annotations

import functools
from pathlib import Path

from pydantic import Field, TypeAdapter

from presets.engines import EngineName
from presets.facts import Fact, read_facts

BUSY_SEQUENCES = 64
"""Requests at the same time that the throughputs were measured with; fewer generate less."""

_FILE = Path(__file__).parent / "throughput.yaml"


class Throughput(Fact):
    """One measurement."""

    preset: str
    gpu: str
    gpus: int = Field(ge=1)
    """Of one replica."""
    engine: EngineName
    tokens_per_second: float = Field(gt=0)
    """Generated ones, of all requests to one replica together."""


@functools.cache
def throughputs() -> tuple[Throughput, ...]:
    """All measurements there are."""
    return tuple(TypeAdapter(list[Throughput]).validate_python(read_facts(_FILE)))


def tokens_per_second(preset: str, gpu: str, gpus: int, engine: EngineName) -> float | None:
    """Of one replica that is always busy, with the preset's own weights in bfloat16; None where nobody has measured it.

    >>> tokens_per_second("phi-4", "A100-80GB", 1, "vllm")
    6265.0
    """
    wanted = (preset, gpu, gpus, engine)
    found = [each for each in throughputs() if (each.preset, each.gpu, each.gpus, each.engine) == wanted]
    return found[0].tokens_per_second if found else None
