"""Allowances keep what they promise, whatever is asked of them and whenever."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from serving.callers.allowance import Allowance

PER_MINUTE = st.integers(1, 10_000)
STEPS = st.lists(st.tuples(st.floats(0, 90), st.integers(1, 300)), max_size=40)


@given(PER_MINUTE, STEPS, st.floats(0, 1e7))
def test_no_stretch_of_time_gets_more_than_a_minute_s_allowance_and_its_own_share(
    per_minute: int, steps: list[tuple[float, int]], begin: float
) -> None:
    now, allowance = begin, Allowance(per_minute, begin)
    taken: list[tuple[float, int]] = []
    for pause, amount in steps:
        now += pause
        if allowance.wait(amount, now) == 0:
            allowance.charge(amount, now)
            taken.append((now, amount))
    for first, (since, _) in enumerate(taken):
        for last in range(first, len(taken)):
            until, most = taken[last][0], max(amount for _, amount in taken[first : last + 1])
            together = sum(amount for _, amount in taken[first : last + 1])
            # One amount that is larger than the allowance is given where nothing is missing.
            allowed = max(per_minute, most) + (until - since) * per_minute / 60
            assert together <= allowed * (1 + 1e-6) + 1


@given(PER_MINUTE, STEPS, st.integers(1, 300), st.floats(0, 1e7))
def test_who_waits_as_long_as_was_said_is_served(
    per_minute: int, steps: list[tuple[float, int]], amount: int, begin: float
) -> None:
    now, allowance = begin, Allowance(per_minute, begin)
    for pause, charged in steps:
        now += pause
        allowance.charge(charged, now)
    assert allowance.wait(amount, now + allowance.wait(amount, now)) == 0


@given(PER_MINUTE, STEPS, st.integers(1, 300))
def test_what_is_left_can_be_taken_and_what_is_given_back_was_never_taken(
    per_minute: int, steps: list[tuple[float, int]], amount: int
) -> None:
    now, allowance = 0.0, Allowance(per_minute, 0.0)
    for pause, charged in steps:
        now += pause
        allowance.charge(charged, now)
    left = allowance.left(now)
    assert 0 <= left <= per_minute
    assert left == 0 or allowance.wait(left, now) == 0
    before = allowance.refill(now)
    allowance.charge(amount, now)
    allowance.charge(-amount, now)
    assert abs(allowance.refill(now) - before) < 1e-6


@given(PER_MINUTE, PER_MINUTE, st.integers(0, 300))
def test_what_was_taken_stays_taken_when_the_allowance_changes(before: int, after: int, amount: int) -> None:
    allowance = Allowance(before, 0.0)
    allowance.charge(amount, 0.0)
    allowance.resize(after, 0.0)
    assert allowance.per_minute == after
    assert allowance.left(0.0) == max(0, after - amount)


def test_an_idle_allowance_is_not_saved_up() -> None:
    allowance = Allowance(60, 0.0)
    assert allowance.left(1e6) == 60
    assert allowance.wait(61, 1e6) == 0, "more than a minute's is given at once only where nothing is missing"
    allowance.charge(61, 1e6)
    assert allowance.wait(1, 1e6) == 2
