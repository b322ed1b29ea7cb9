"""Percentiles and spreads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.figures import Spread, percentile

numbers = st.lists(st.floats(min_value=0, max_value=1e6), min_size=1, max_size=50)


@given(numbers, st.integers(min_value=1, max_value=99))
def test_a_percentile_lies_between_the_extremes(values: list[float], percent: int) -> None:
    assert min(values) - 1e-6 <= percentile(values, percent) <= max(values) + 1e-6


@given(numbers)
def test_a_higher_percentile_is_no_lower(values: list[float]) -> None:
    assert percentile(values, 50) <= percentile(values, 95) + 1e-6


def test_percentiles_are_interpolated_as_numpy_does_it() -> None:
    assert percentile(range(1, 11), 95) == pytest.approx(9.55)


@pytest.mark.parametrize("make", [lambda: percentile([], 50), lambda: Spread.of([])], ids=["percentile", "spread"])
def test_nothing_has_no_figure(make: object) -> None:
    assert callable(make)
    with pytest.raises(ValueError, match="of no values"):
        make()


@pytest.mark.parametrize(
    ("values", "text"),
    [([612.4, 566.1, 633.0], "612 ± 33"), ([71.26], "71.3"), ([0.0412, 0.0409], "0.04 ± 0.00")],
    ids=["hundreds", "one run has no spread", "small"],
)
def test_a_figure_has_as_many_digits_as_it_deserves(values: list[float], text: str) -> None:
    assert Spread.of(values).text() == text
