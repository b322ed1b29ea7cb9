"""What ran where: without it a figure says nothing."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from components.machine import this_machine

PROJECT = Path(__file__).parents[1]
_PACKAGES = ("ray", "torch", "transformers")
_VERSIONS = """
import json, sys
from importlib.metadata import version
print(json.dumps({name: version(name) for name in sys.argv[1:]}))
"""


@dataclass(frozen=True, kw_only=True)
class Environment:
    """The machine and the code, when the benchmark began."""

    date: str
    """RFC 3339, in UTC."""
    cores: int
    memory_gib: float
    cpu: str
    gpus: tuple[str, ...]
    system: str
    commit: str
    changed: bool
    """Whether the working tree differs from the commit."""
    versions: Mapping[str, str]
    load_average: tuple[float, float, float]
    """Of the last 1, 5 and 15 minutes before the benchmark: what else there was to do."""

    def text(self) -> str:
        """One line for people."""
        commit = f"{self.commit} with changes" if self.changed else self.commit
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        gpus = ", ".join(self.gpus) or "no GPU"
        return (
            f"{self.cores} cores ({self.cpu}), {self.memory_gib:.0f} GiB, {gpus}; commit {commit}, {versions}; "
            f"load before {self.load_average[0]:.1f}"
        )


def environment() -> Environment:
    """Read from this machine, the repository and .venv-serving."""
    machine = this_machine()
    return Environment(
        date=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        cores=machine.cpus,
        memory_gib=round(machine.memory_bytes / 1024**3, 1),
        cpu=_cpu_model(),
        gpus=tuple(gpu.name for gpu in machine.gpus),
        system=f"{platform.system()} {platform.machine()}",
        commit=_git("rev-parse", "--short", "HEAD") or "unknown",
        changed=bool(_git("status", "--porcelain")),
        versions=_versions(),
        load_average=os.getloadavg(),
    )


def serving_python() -> Path:
    """The interpreter that services run with."""
    return PROJECT / ".venv-serving" / "bin" / "python"


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _versions() -> dict[str, str]:
    """Asked of the packages' metadata: importing torch to learn its version takes seconds. Python's alone where
    .venv-serving is not there, as for what needs only the plan."""
    if not serving_python().exists():
        return {"python": platform.python_version()}
    command = [str(serving_python()), "-c", _VERSIONS, *_PACKAGES]
    versions = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return {"python": platform.python_version(), **versions}


def _git(*arguments: str) -> str:
    """What git prints; empty where there is no git or no repository."""
    command = ["git", "-C", str(PROJECT), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
