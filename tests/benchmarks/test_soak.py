"""What a soak asks, and what its table says of memory that grows and of memory that does not."""

from __future__ import annotations

import os
import random

import psutil
import pytest

from benchmarks import soak
from benchmarks.soak import Options, Soaked, request, resident
from tests.benchmarks.builders import HERE


def test_the_first_tenth_is_compared_with_the_last() -> None:
    memory = [{"engine": 1000.0 + 10 * sample, "replica": 200.0, "proxy": 100.0} for sample in range(20)]
    memory[10]["replica"] = 300.0
    found = soak.report(Options(minutes=2), HERE, Soaked(answered=7, left=2, memory=memory))
    assert list(found.rows) == [
        ("engine", "1005 MiB", "1185 MiB", "1190 MiB", "+17.9 %"),
        ("replica", "200 MiB", "200 MiB", "300 MiB", "+0.0 %"),
        ("proxy", "100 MiB", "100 MiB", "100 MiB", "+0.0 %"),
        ("the rest of Ray", "0 MiB", "0 MiB", "0 MiB", "-"),
    ]
    assert list(found.notes) == ["7 requests were answered whole, 2 given up by their client, 0 failed"]


def test_a_process_that_ended_is_told() -> None:
    found = soak.report(Options(), HERE, Soaked(answered=1, memory=[{"engine": 1.0, "proxy": 1.0}, {"proxy": 1.0}]))
    assert found.notes[-1].startswith("the process of the engine ended")


def test_the_first_failure_is_told() -> None:
    found = soak.report(Options(), HERE, Soaked(failures=["500: no", "503: later"], memory=[{"engine": 1.0}]))
    assert found.notes[0].endswith("2 failed")
    assert found.notes[1] == "the first that failed: 500: no"


def test_requests_are_of_many_kinds_and_the_same_every_time() -> None:
    models = [{"model": "chat"}, {"model": "chat:one"}]
    asked = [request(models, numbers) for numbers in [random.Random(3)] for _ in range(200)]
    assert asked[0] == request(models, random.Random(3))
    assert {body["model"] for body in asked} == {"chat", "chat:one"}
    assert {body["temperature"] for body in asked} == {0, 0.7, 1}
    for field in ("response_format", "logprobs", "seed"):
        assert 10 < sum(field in body for body in asked) < 100
    lengths = [len(body["messages"][0]["content"]) for body in asked]
    assert 5 < sum(length > 4000 for length in lengths) < 50


def test_memory_is_told_by_kind_of_process() -> None:
    own = psutil.Process(os.getpid())
    assert resident([own]) == {"the rest of Ray": pytest.approx(own.memory_info().rss / 1024**2, rel=0.1)}
