"""Processes that are ours: told by process id and start time, or by a mark in their environment."""

from __future__ import annotations

import contextlib
import time

import psutil

_GRACE_SECONDS = 5
_POLL_SECONDS = 0.05
_SAME_START_SECONDS = 1.0


def created_at(pid: int) -> float:
    """When the process started, in seconds since the epoch; 0.0 if it is gone."""
    try:
        return psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return 0.0


def is_alive(pid: int, started: float) -> bool:
    """Whether the very process lives that had this id at this start time; a zombie does not."""
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - started) < _SAME_START_SECONDS and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def marked(variable: str, value: str) -> list[psutil.Process]:
    """All processes whose environment carries the mark; those that may not be read are not ours."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(variable) == value:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def end(pid: int, started: float, *, mark: tuple[str, str]) -> None:
    """Ask a process to end its children and itself; then end whatever still carries the mark."""
    if is_alive(pid, started):
        _signal([psutil.Process(pid)], kill=False)
    _signal(marked(*mark), kill=True)


def _signal(victims: list[psutil.Process], *, kill: bool) -> None:
    for process in victims:
        with contextlib.suppress(psutil.NoSuchProcess):
            if kill:
                process.kill()
            else:
                process.terminate()
    end_of_grace = time.monotonic() + _GRACE_SECONDS
    while time.monotonic() < end_of_grace and any(_lives(process) for process in victims):
        time.sleep(_POLL_SECONDS)


def _lives(process: psutil.Process) -> bool:
    """A zombie is dead: it waits only for a parent that may never ask (psutil.wait_procs would wait with it)."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
