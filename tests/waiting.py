"""Waiting for what happens by itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(look: Callable[[], T], seconds: float, what: str) -> T:
    """The first truthy answer of `look` within so many seconds; fails saying what did not happen."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        answer = look()
        if answer:
            return answer
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds:.0f} s: {what}")
