"""What generated tokens cost, where a throughput is known."""

from __future__ import annotations

import functools
from pathlib import Path

from pydantic import Field, TypeAdapter

from presets.engines import EngineName
from presets.facts import Fact, read_facts

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


def per_million_tokens(preset: str, gpu: str, gpus: int, replicas: int, per_hour: float | None) -> float | None:
    """Money for a million generated tokens of a service that is always busy; None where nobody has measured it.

    >>> per_million_tokens("phi-4", "A100-80GB", 1, 1, 3.673)
    0.1628535603404451
    """
    found = [each for each in throughputs() if (each.preset, each.gpu, each.gpus) == (preset, gpu, gpus)]
    if not found or per_hour is None:
        return None
    return per_hour / (found[0].tokens_per_second * replicas * 3600 / 1e6)
