"""One writer at a time for a folder that several processes may want to fill."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from toolchain.console import Console

POLL_SECONDS = 0.5


@contextmanager
def exclusive(lock: Path, console: Console, what: str) -> Iterator[None]:
    """Hold the lock file `lock`; while another process holds it, wait and say for whom.

    The kernel drops the lock with its process, so a killed holder leaves nothing to clear up.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not _try(handle):
            holder = os.pread(handle, 32, 0).decode(errors="replace").strip() or "unknown"
            with console.step(f"Waiting for process {holder}, which is {what}"):
                while not _try(handle):
                    time.sleep(POLL_SECONDS)
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(handle)


def _try(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
