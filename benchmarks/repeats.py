"""How often something is measured, and how long a benchmark waits for quiet."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Repeats:
    """How much is measured."""

    runs: int = 3
    wait_seconds: float = 120
    """How long all measurements together wait for other processes to leave the cores alone."""


ONCE = Repeats(runs=1, wait_seconds=0)
