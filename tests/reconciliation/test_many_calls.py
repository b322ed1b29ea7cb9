"""More than four calls at once in the process of the dynamic providers: a fifth workspace waits for nobody."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from components.reconciliation.many_calls import CALLS, widen


@contextmanager
def blocked(threads: ThreadPoolExecutor, calls: int) -> Iterator[threading.Event]:
    """So many calls of a pool are under way, and end with the block."""
    end, begun = threading.Event(), threading.Barrier(calls + 1)

    def call() -> None:
        begun.wait(10)
        end.wait(30)

    for _ in range(calls):
        threads.submit(call)
    begun.wait(10)
    try:
        yield end
    finally:
        end.set()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """As Pulumi's provider process has it."""
    with ThreadPoolExecutor(max_workers=4) as threads:
        yield threads


def test_a_fifth_call_is_answered_while_four_wait(pool: ThreadPoolExecutor) -> None:
    with blocked(pool, 4):
        begun = time.monotonic()
        assert widen() >= 1
        assert pool.submit(lambda: "answered").result(timeout=5) == "answered"
        assert time.monotonic() - begun < 1


def test_a_pool_as_it_is_would_let_the_fifth_call_wait(pool: ThreadPoolExecutor) -> None:
    with blocked(pool, 4), pytest.raises(TimeoutError):
        pool.submit(lambda: "answered").result(timeout=0.2)


def test_as_many_calls_as_it_says_are_answered_at_once(pool: ThreadPoolExecutor) -> None:
    widen()
    with blocked(pool, CALLS - 1):
        assert pool.submit(lambda: "answered").result(timeout=5) == "answered"


def test_a_second_time_finds_nothing_to_do(pool: ThreadPoolExecutor) -> None:
    widen()
    assert widen() == 0


def test_a_wider_pool_is_left_as_it_is() -> None:
    with ThreadPoolExecutor(max_workers=CALLS + 1) as wide:
        widen()
        with blocked(wide, CALLS + 1):
            pass


def test_what_else_is_in_the_process_is_not_asked_anything(pool: ThreadPoolExecutor) -> None:
    class Gone:
        pass

    class Touchy:
        @property
        def __class__(self) -> type:  # pyright: ignore[reportIncompatibleMethodOverride]
            raise RuntimeError("a lazy module is loaded here")

    gone = Gone()
    kept = weakref.proxy(gone), Touchy()
    del gone
    assert widen() >= 1
    del kept
