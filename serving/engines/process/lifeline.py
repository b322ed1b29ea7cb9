"""The child's end with its parent, which the inbox cannot see to while C code holds the interpreter's lock."""

from __future__ import annotations

import ctypes
import logging
import os
import signal

from serving.engines.process.inbox import end_without_parent

_PR_SET_PDEATHSIG = 1
"""linux/prctl.h."""

_log = logging.getLogger(__name__)


def end_with(parent: int) -> None:
    """Have the kernel kill this process when the thread that has started it ends.

    `parent` is the id of that thread's process: one that has ended before it could be watched has left this process to
    another.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        # a sandbox may forbid it; the socket's end is still noticed, but not in the middle of a step
        _log.warning("the kernel does not watch the replica: %s", os.strerror(ctypes.get_errno()))
    if os.getppid() != parent:
        end_without_parent()
