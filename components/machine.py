"""What this machine has: the facts about the local target that a plan needs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import psutil

from components.planning.local_sizing import Gpu, Machine

_NVIDIA_SMI = ("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits")
_MIB = 1024 * 1024
_MEMORY_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
"""Of control groups version 2 and version 1, as a process in a container sees its own."""


def this_machine() -> Machine:
    """CPUs and bytes of memory that this process may use, and NVIDIA GPUs as their driver lists them."""
    memory = min(psutil.virtual_memory().total, _memory_limit())
    return Machine(cpus=_usable_cpus(), memory_bytes=memory, gpus=_gpus())


def _memory_limit() -> int:
    """Bytes that the control group of a container or a service may take; a very large number where there is none."""
    for file in _MEMORY_LIMITS:
        try:
            text = file.read_text().strip()
        except OSError:
            continue
        if text != "max":
            return int(text)
    return sys.maxsize


def _usable_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _gpus() -> tuple[Gpu, ...]:
    if shutil.which(_NVIDIA_SMI[0]) is None:
        return ()
    listing = subprocess.run(_NVIDIA_SMI, capture_output=True, text=True, check=False)
    if listing.returncode != 0:
        # The tool without a working driver: models would not find a GPU either.
        return ()
    rows = (line.rsplit(",", 1) for line in listing.stdout.splitlines() if line.strip())
    return tuple(Gpu(name=name.strip(), memory_bytes=int(mib) * _MIB) for name, mib in rows)
