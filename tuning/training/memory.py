"""The most memory that a training has taken."""

from __future__ import annotations

import resource
from contextlib import suppress
from pathlib import Path

import torch

_CLEAR_REFS = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"
"""Linux, Documentation/filesystems/proc.rst, clear_refs: makes the peak resident size the present one."""


def begin() -> None:
    """Forget what was taken before, such as by the model's evaluation, as far as the system lets one."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        return
    with suppress(OSError):
        _CLEAR_REFS.write_text(_RESET_PEAK, encoding="ascii")


def peak_bytes() -> int:
    """Of tensors on this process's GPU; without one, of the process: its largest resident size."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
