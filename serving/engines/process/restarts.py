"""When an engine process that died is started again. Pure: the clock comes in as an argument."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class RestartPolicy:
    """At most `limit` restarts in any `window_seconds`, each after twice the pause of the one before."""

    limit: int = 5
    window_seconds: float = 600.0
    first_delay_seconds: float = 0.5

    def recent(self, deaths: Sequence[float], now: float) -> int:
        """How many of `deaths` (seconds on the clock of `now`) lie in the window that ends now."""
        return sum(1 for death in deaths if now - death < self.window_seconds)

    def delay(self, deaths: Sequence[float], now: float) -> float | None:
        """Seconds to wait before the restart after the last of `deaths`; None when there were too many.

        >>> RestartPolicy(limit=2).delay([10.0, 11.0], now=11.0)
        1.0
        """
        recent = self.recent(deaths, now)
        if recent > self.limit:
            return None
        return self.first_delay_seconds * 2 ** max(0, recent - 1)
