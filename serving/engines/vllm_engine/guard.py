"""A small process that ends vLLM's when the replica is killed: they would outlive it, and keep the GPU's memory.

Seen with vLLM 0.32: its engine process waits for a frontend that is gone for as long as the machine runs.
"""

from __future__ import annotations

import atexit
import functools
import os
import select
import subprocess
import sys

import psutil

_PERIOD_SECONDS = 1.0
_GRACE_SECONDS = 5.0
"""In which a replica that ends by itself has ended its own."""
_EXIT_SECONDS = 10.0
_TIDIES_UP = "multiprocessing.resource_tracker"
"""Python's own helper, which ends after the others and removes the shared memory that they have left."""


@functools.cache
def end_children_with_this_process() -> None:
    """From now on what this process starts, and what that starts, ends when this process does, however it does."""
    # -P: the modules beside this file are none of the guard's. A session of its own: Ctrl-C is for the replica.
    command = [sys.executable, "-P", __file__, str(os.getpid())]
    guard = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)

    def let_go() -> None:
        assert guard.stdin is not None
        guard.stdin.close()
        guard.wait()

    atexit.register(let_go)


def main(guarded: int) -> None:
    """Remember the descendants of `guarded` until stdin closes, which happens when it ends, and then end them."""
    known: dict[int, psutil.Process] = {}
    while not select.select([sys.stdin], [], [], _PERIOD_SECONDS)[0]:
        known |= _descendants(guarded)
    left = [process for process in known.values() if not _tidies_up(process)]
    _, left = psutil.wait_procs(left, timeout=_GRACE_SECONDS)
    for process in left:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(left, timeout=_EXIT_SECONDS)


def _descendants(guarded: int) -> dict[int, psutil.Process]:
    try:
        found = psutil.Process(guarded).children(recursive=True)
    except psutil.NoSuchProcess:
        return {}
    return {process.pid: process for process in found if process.pid != os.getpid()}


def _tidies_up(process: psutil.Process) -> bool:
    try:
        return any(_TIDIES_UP in argument for argument in process.cmdline())
    except psutil.Error:
        return False


if __name__ == "__main__":
    main(int(sys.argv[1]))
