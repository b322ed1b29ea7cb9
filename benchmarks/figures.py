"""Arithmetic on measured values: percentiles of one run, median and spread of several."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


def percentile(values: Sequence[float], percent: int) -> float:
    """The value below which `percent` of the values lie, interpolated; 0 < percent < 100. Raises ValueError if empty.

    >>> percentile([1, 2, 3, 4, 5], 50), percentile([7], 95)
    (3.0, 7.0)
    """
    if not values:
        raise ValueError("a percentile of no values")
    if len(values) == 1:
        return float(values[0])
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


@dataclass(frozen=True)
class Spread:
    """The same quantity in several runs."""

    median: float
    lowest: float
    highest: float
    runs: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Raises ValueError if empty."""
        if not values:
            raise ValueError("a spread of no values")
        return cls(float(statistics.median(values)), float(min(values)), float(max(values)), len(values))

    def text(self, unit: str = "") -> str:
        """The median, and half the distance between the lowest and the highest run where there are several.

        >>> Spread.of([40, 44, 41]).text("ms"), Spread.of([1.234]).text("s")
        ('41.0 ± 2.0 ms', '1.23 s')
        """
        digits = 0 if self.median >= 100 else 1 if self.median >= 10 else 2
        text = f"{self.median:.{digits}f}"
        if self.runs > 1:
            text += f" ± {(self.highest - self.lowest) / 2:.{digits}f}"
        return f"{text} {unit}".rstrip()
