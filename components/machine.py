"""What this machine has: the facts about the local target that a plan needs."""

from __future__ import annotations

import os
import shutil
import subprocess

import psutil

from components.planning.sizing import Gpu, Machine

_NVIDIA_SMI = ("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits")
_MIB = 1024 * 1024


def this_machine() -> Machine:
    """CPUs that this process may use, memory in bytes, and NVIDIA GPUs as their driver lists them."""
    return Machine(cpus=_usable_cpus(), memory_bytes=psutil.virtual_memory().total, gpus=_gpus())


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
