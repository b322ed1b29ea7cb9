"""What a machine needs for a rig, and one sentence for each thing that it lacks."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path

PROGRAMS = {
    "ip": "iproute2",
    "nft": "nftables",
    "nsenter": "util-linux",
}
"""The programs that must be on PATH, and Debian's packages that have them."""


class CannotRun(Exception):
    """There can be no rig; `str()` says why and what to do."""


def missing() -> list[str]:
    """One sentence for each thing that this machine lacks; empty: a rig can run."""
    if platform.system() != "Linux":
        return [f"The rig needs Linux; this is {platform.system()}."]
    found: list[str] = []
    if os.geteuid() != 0:
        found.append("The rig needs root, for its network namespaces and mounts; run it as root.")
    found += [
        f"The program {program} is missing; install it (Debian: `apt-get install -y {package}`)."
        for program, package in PROGRAMS.items()
        if not _is_there(program)
    ]
    if not Path("/proc/self/ns/net").exists():
        found.append("This kernel has no network namespaces.")
    if os.geteuid() == 0 and not _overlay():
        found.append("This kernel has no overlay file system; try `modprobe overlay`.")
    return found


def missing_packages() -> list[str]:
    """Debian's packages that have the programs that are missing."""
    return [package for program, package in PROGRAMS.items() if not _is_there(program)]


def _is_there(program: str) -> bool:
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is not None


def _overlay() -> bool:
    known = Path("/proc/filesystems").read_text(encoding="utf-8")
    release = platform.release()
    return "overlay" in known or any(Path(f"/lib/modules/{release}").rglob("overlay.ko*"))


def check() -> None:
    """Raises CannotRun, with everything that is missing."""
    if found := missing():
        raise CannotRun("\n".join(found))
