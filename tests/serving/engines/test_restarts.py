"""When a dead engine is started again, and when no more."""

from __future__ import annotations

from serving.engines.process.child import describe_exit
from serving.engines.process.restarts import RestartPolicy

POLICY = RestartPolicy(limit=3, window_seconds=100, first_delay_seconds=0.5)


def test_each_restart_waits_twice_as_long_as_the_one_before() -> None:
    deaths = [10.0, 20.0, 30.0]
    assert [POLICY.delay(deaths[:count], now=deaths[count - 1]) for count in (1, 2, 3)] == [0.5, 1.0, 2.0]


def test_too_many_deaths_end_the_restarts() -> None:
    assert POLICY.delay([10.0, 20.0, 30.0, 40.0], now=40.0) is None


def test_old_deaths_are_forgiven() -> None:
    assert POLICY.delay([10.0, 20.0, 30.0, 111.0], now=111.0) == 2.0
    assert POLICY.delay([10.0, 20.0, 30.0, 200.0], now=200.0) == 0.5


def test_an_end_is_described_in_words() -> None:
    assert describe_exit(3) == "exited with code 3"
    assert describe_exit(-15) == "was ended by SIGTERM"
    assert describe_exit(-9).startswith("was ended by SIGKILL (by a person")
    assert describe_exit(-77) == "was ended by signal 77"
