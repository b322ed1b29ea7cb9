"""Processes that are ours: told by process id and start time, or by a mark in their environment."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

import psutil

_PROC = Path("/proc")
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


def family(variable: str, value: str) -> list[psutil.Process]:
    """All processes whose environment carries the mark, and all of the sessions that these belong to.

    The sessions, because a process that gives itself another title may lose its environment in doing so. Whoever
    marks a process starts it in a session of its own. Processes that may not be read are not ours.
    """
    marked = [process for process in psutil.process_iter() if _environment(process).get(variable) == value]
    sessions = {_session(process) for process in marked} - {os.getsid(0), None}
    return [process for process in psutil.process_iter() if process in marked or _session(process) in sessions]


def end(pid: int, started: float, *, mark: tuple[str, str]) -> None:
    """Ask a process to end its children and itself; then end what is left of the family with that mark."""
    members = family(*mark)
    if is_alive(pid, started):
        _signal([psutil.Process(pid)], kill=False)
    _signal([*members, *family(*mark)], kill=True)


def parse_environment(raw: bytes) -> dict[str, str]:
    """A process's environment from the bytes of /proc/PID/environ.

    A process that has given itself a title overwrites the beginning with zeros; what psutil reads ends there.

    >>> parse_environment(b"\\0\\0\\0A=1\\0B=x=y\\0")
    {'A': '1', 'B': 'x=y'}
    """
    entries = (entry.partition("=") for entry in raw.decode(errors="replace").split("\0"))
    return {name: value for name, equals, value in entries if equals}


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        if _PROC.exists():
            return parse_environment((_PROC / str(process.pid) / "environ").read_bytes())
        return process.environ()
    except (OSError, psutil.NoSuchProcess, psutil.AccessDenied):
        return {}


def _session(process: psutil.Process) -> int | None:
    try:
        return os.getsid(process.pid)
    except (ProcessLookupError, PermissionError):
        return None


def _signal(victims: list[psutil.Process], *, kill: bool) -> None:
    for process in victims:
        with contextlib.suppress(psutil.NoSuchProcess):
            if kill:
                process.kill()
            else:
                process.terminate()
    end_of_grace = time.monotonic() + _GRACE_SECONDS
    while time.monotonic() < end_of_grace and any(lives(process) for process in victims):
        time.sleep(_POLL_SECONDS)


def lives(process: psutil.Process) -> bool:
    """A zombie is dead: it waits only for a parent that may never ask (psutil.wait_procs would wait with it)."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
