"""Whose CPU time it was, on this very machine."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from benchmarks import cpu
from benchmarks.cpu import CpuMeter, Patience, memory_mib

WORK = """
import time
while time.process_time() < 0.4: pass
print(flush=True)
input()
"""


@contextmanager
def worker() -> Iterator[subprocess.Popen[bytes]]:
    """A process that works for 0.4 s of CPU time, says so with an empty line, and waits."""
    with subprocess.Popen([sys.executable, "-c", WORK], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield process
        process.communicate(b"\n")


def await_its_work(process: subprocess.Popen[bytes]) -> None:
    assert process.stdout is not None
    process.stdout.readline()


def test_a_services_time_is_its_own() -> None:
    with worker() as process:
        meter = CpuMeter({"service": [psutil.Process(process.pid)], "idle": []})
        await_its_work(process)
        use = meter.stop()
    assert use.services["service"] > 0
    assert use.services["idle"] == 0


def test_what_began_meanwhile_is_no_stranger_when_it_is_named() -> None:
    meter = CpuMeter({})
    with worker() as process:
        await_its_work(process)
        unnamed, named = meter.stop(), meter.stop(started=[psutil.Process(process.pid)])
    assert named.strangers < unnamed.strangers


def test_a_command_that_was_waited_for_is_no_stranger() -> None:
    meter = CpuMeter({})
    with worker() as process:
        await_its_work(process)
        before = meter.stop().client
    assert meter.stop().client > before


def test_memory_is_that_of_all_processes() -> None:
    own = psutil.Process()
    assert memory_mib([own, own]) > 1.5 * memory_mib([own]) > 0


def test_patience_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "QUIET_CORES", -1.0)
    patience = Patience(0.2)
    begun = time.monotonic()
    for _ in range(3):
        patience.wait({})
    assert 0.2 <= time.monotonic() - begun < 2, "three waits have one limit together"


def test_without_patience_nothing_is_waited_for() -> None:
    begun = time.monotonic()
    Patience(0).wait({})
    assert time.monotonic() - begun < 0.5
