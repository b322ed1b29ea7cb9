"""Ends the provider's process with the Pulumi engine that started it.

Pulumi's Python provider process does not notice that its engine was killed: it would finish its call, long after a
next `pulumi up` has begun, and stay for ever.
"""

from __future__ import annotations

import os
import threading
import time

_POLL_SECONDS = 0.5
_lock = threading.Lock()
_watched = False


def end_with_engine() -> None:
    """Watch the parent process from now on; the first call of a process starts the watch."""
    global _watched
    with _lock:
        if _watched:
            return
        _watched = True
    threading.Thread(target=_watch, args=(os.getppid(),), name="lifeline", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_POLL_SECONDS)
    os._exit(1)
