"""When an engine process that says nothing is taken for one that hangs. Pure: the clock ticks from outside."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

_TICKS = 20
"""In the time that a process is given."""


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long a process may say nothing while it has something to do."""

    least_seconds: float = 120.0
    warmups: float = 100.0
    """As many times as long as its own warm-up took, where that is more. The warm-up is about seven steps of a few
    tokens, and the longest step, 512 tokens of a prompt on a CPU, takes about sixteen times as long as one of them."""

    def seconds(self, warmup_seconds: float) -> float:
        """What a process gets whose warm-up took so long.

        >>> Patience().seconds(0.5), Patience().seconds(20.0)
        (120.0, 2000.0)
        """
        return max(self.least_seconds, self.warmups * warmup_seconds)


class Verdict(Enum):
    """What a tick shows."""

    FINE = "fine"
    ASK = "ask"
    """It should be asked for a sign of life, once."""
    HANGS = "hangs"


class Silence:
    """How long a process has said nothing although it was asked.

    An idle process is not asked. What was asked stays open when all who waited have left, so that impatient clients do
    not hide a process that hangs. Time is counted in ticks: while the replica itself stands still, none passes.
    """

    def __init__(self, limit_seconds: float) -> None:
        self.tick_seconds = limit_seconds / _TICKS
        self._heard = 0
        self._ticks: int | None = None
        """Since it was asked; None: nothing is open."""

    def tick(self, *, heard: int, busy: bool) -> Verdict:
        """After each `tick_seconds`. heard: messages that have ever come; busy: whether somebody waits for one."""
        if heard != self._heard:
            self._heard, self._ticks = heard, None
            return Verdict.FINE
        if self._ticks is None:
            self._ticks = 0 if busy else None
            return Verdict.ASK if busy else Verdict.FINE
        self._ticks += 1
        return Verdict.HANGS if self._ticks >= _TICKS else Verdict.FINE
