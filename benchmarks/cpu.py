"""Whose CPU time it was: what a service took, what the clients took, and what strangers took from both."""

from __future__ import annotations

import contextlib
import resource
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psutil

from benchmarks.console import console

QUIET_CORES = 0.2
"""Cores that strangers may use before a run counts as disturbed."""

_LOOK_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True)
class CpuUse:
    """Cores in use on average: 1.5 is one and a half."""

    services: Mapping[str, float]
    client: float
    strangers: float

    @property
    def disturbed(self) -> bool:
        return self.strangers > QUIET_CORES


class CpuMeter:
    """Compares two readings of the system's own counters; nothing runs in between.

    The client's share includes commands that have ended.
    """

    def __init__(self, services: Mapping[str, Sequence[psutil.Process]]) -> None:
        self._services = services
        self._begun = self._read()

    def stop(self, started: Sequence[psutil.Process] = ()) -> CpuUse:
        """What happened since the meter was made. `started`: processes that are no strangers and began since."""
        before, after = self._begun, self._read()
        seconds = max(after.at - before.at, 1e-9)
        services = {name: (after.services[name] - before.services[name]) / seconds for name in self._services}
        client = (after.client - before.client) / seconds
        known = client + sum(services.values()) + sum(map(_seconds, started)) / seconds
        busy = (after.busy - before.busy) / seconds
        return CpuUse(services=services, client=client, strangers=max(0.0, busy - known))

    def _read(self) -> _Reading:
        return _Reading(
            at=time.perf_counter(),
            busy=_busy_seconds(),
            client=_own_seconds(),
            services={name: sum(map(_seconds, processes)) for name, processes in self._services.items()},
        )


@dataclass(frozen=True, kw_only=True)
class _Reading:
    """Seconds of CPU time since the system, or the process, was started."""

    at: float
    busy: float
    client: float
    services: Mapping[str, float]


class Patience:
    """Waits until strangers leave the cores alone; all its waiting together takes about `seconds` at most."""

    def __init__(self, seconds: float) -> None:
        self._left = seconds

    def wait(self, services: Mapping[str, Sequence[psutil.Process]]) -> None:
        """Return when it is quiet, or when no patience is left. `services`: no strangers."""
        said = False
        while self._left > 0:
            begun = time.monotonic()
            meter = CpuMeter(services)
            time.sleep(min(_LOOK_SECONDS, self._left))
            use = meter.stop()
            if not use.disturbed:
                return
            self._left -= time.monotonic() - begun
            if not said:
                console.say(f"others use {use.strangers:.1f} cores: waiting up to {self._left:.0f} s for quiet")
                said = True


def memory_mib(processes: Sequence[psutil.Process]) -> float:
    """What the processes have in memory, shared pages counted once (proportional set size), in MiB."""
    total = 0
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            full = process.memory_full_info()
            total += getattr(full, "pss", full.rss)  # pss: Linux only
    return total / 1024**2


def _own_seconds() -> float:
    """This process, and all commands that it has waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _busy_seconds() -> float:
    times = psutil.cpu_times()
    return sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0)


def _seconds(process: psutil.Process) -> float:
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        times = process.cpu_times()
        return times.user + times.system
    return 0.0
