"""So much a minute. Pure: whoever asks says what time it is, in seconds of a clock that never goes back."""

from __future__ import annotations

_MINUTE = 60.0
_ROUNDING = 1e-6
"""Seconds: who waited as long as was said must not be sent away for the last bit of a float."""


class Allowance:
    """An allowance that is refilled all the time (a token bucket): after a quiet minute a whole minute's is there.

    Over any time it gives out no more than one minute's allowance and what that time has refilled, but for `charge`,
    which takes what nobody could know beforehand and leaves a debt that has to be refilled first.

    >>> tokens = Allowance(60, now=0.0)
    >>> tokens.wait(60, now=0.0)
    0.0
    >>> tokens.charge(60, now=0.0)
    >>> tokens.wait(30, now=10.0), tokens.left(now=10.0)
    (20.0, 10)
    """

    def __init__(self, per_minute: int, now: float) -> None:
        self.per_minute = per_minute
        self._full_at = now
        """When nothing will be missing any more, if nothing else is taken. All the state there is."""

    def wait(self, amount: int, now: float) -> float:
        """Seconds until `amount` may be taken. More than a whole allowance may be taken when nothing is missing."""
        spare = max(0, self.per_minute - amount) * self._seconds_each
        wait = self.refill(now) - spare
        return wait if wait > _ROUNDING else 0.0

    def charge(self, amount: int, now: float) -> None:
        """Take it, whether it is there or not; a negative amount gives back what was taken for nothing."""
        self._full_at = max(self._full_at, now) + amount * self._seconds_each

    def left(self, now: float) -> int:
        """What may be taken at once; 0 in debt."""
        missing = max(0.0, self.refill(now) - _ROUNDING) / self._seconds_each
        return max(0, int(self.per_minute - missing))

    def refill(self, now: float) -> float:
        """Seconds until nothing is missing."""
        return max(0.0, self._full_at - now)

    def resize(self, per_minute: int, now: float) -> None:
        """Another allowance from now on; what was taken stays taken."""
        taken = self.refill(now) / self._seconds_each
        self.per_minute = per_minute
        self._full_at = now + taken * self._seconds_each

    @property
    def _seconds_each(self) -> float:
        return _MINUTE / self.per_minute
