"""Ends the provider's process with the Pulumi engine that started it.

Pulumi's Python provider process does not notice that its engine was killed: it would finish its call, long after a
next `pulumi up` has begun, and stay for ever.
"""

from __future__ import annotations

import os
import threading
import time

import psutil

from components.reconciliation import processes

ENGINE = "pulumi"
_POLL_SECONDS = 0.5
_lock = threading.Lock()
_watched = False


def end_with_engine() -> None:
    """Watch the engine's process from now on; the first call of a process starts the watch."""
    global _watched
    with _lock:
        if _watched:
            return
        _watched = True
    threading.Thread(target=_watch, args=(_engine(),), name="lifeline", daemon=True).start()


def _engine() -> psutil.Process:
    """The nearest ancestor that is Pulumi, since a shell script lies between it and this process; else the parent."""
    ancestors = psutil.Process().parents()
    return next((ancestor for ancestor in ancestors if ancestor.name() == ENGINE), ancestors[0])


def _watch(engine: psutil.Process) -> None:
    while processes.lives(engine):
        time.sleep(_POLL_SECONDS)
    os._exit(1)
