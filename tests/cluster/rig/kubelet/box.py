"""Starts a container's first process in a box of its own, and runs further commands in that box."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.cluster.rig.processes import MARK, POD_MARK

ENTER = Path(__file__).with_name("enter_box.py")

USERS = {0: ("root", 0, "/root"), 1000: ("ray", 100, "/home/ray"), 65534: ("nobody", 65534, "/nonexistent")}
"""Name, group and home by number: what the passwd file of Ray's images says."""

GROUPS = {"root": 0, "users": 100, "nogroup": 65534}


@dataclass(frozen=True, kw_only=True)
class Mount:
    """A file or folder of this machine, shown in a container."""

    source: str
    target: str
    read_only: bool = False


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All that `enter_box.py` is told."""

    argv: Sequence[str]
    env: dict[str, str]
    netns: str
    box: str
    """A folder that the box's root is mounted on; only the box sees what is there."""
    hostname: str
    workdir: str = "/"
    uid: int = 0
    gid: int = 0
    groups: Sequence[int] = ()
    capabilities: Sequence[str] = ()
    no_new_privileges: bool = False
    read_only_root: bool = False
    hidden: Sequence[str] = ()
    mounts: Sequence[Mount] = ()
    files: dict[str, str] = field(default_factory=dict[str, str])
    homes: Sequence[tuple[str, int, int]] = ()
    report_fd: int = -1


class CannotStart(Exception):
    """The program could not be started in its box; `str()` says why."""


@dataclass(frozen=True, kw_only=True)
class Boxed:
    """A container's running processes."""

    keeper: subprocess.Popen[bytes]
    """Ends when the first process does, with its exit code."""
    first: int
    """The first process: 1 inside, this number outside. All others end with it."""
    plan: Plan

    def exit_code(self) -> int | None:
        """128 and the signal for one that a signal ended, None while it runs."""
        code = self.keeper.poll()
        return code if code is None or code >= 0 else 128 - code

    def run(self, argv: Sequence[str], timeout: float) -> subprocess.CompletedProcess[str]:
        """Run a command as the container's user; raises subprocess.TimeoutExpired."""
        prefix = ["/usr/bin/nsenter", "--target", str(self.first), "--net", "--mount", "--pid", "--uts", "--ipc"]
        user = ["--setuid", str(self.plan.uid), "--setgid", str(self.plan.gid)]
        whole = [*prefix, *user, "--", *argv]
        with subprocess.Popen(
            whole,
            env=self.plan.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        ) as process:
            try:
                output, errors = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)  # nsenter's child too, which is the command itself
                process.communicate()
                raise
        return subprocess.CompletedProcess(whole, process.returncode, output, errors)


def start(plan: Plan, log: Path, rig: str) -> Boxed:
    """Start the plan's program; what it writes goes to `log`. Raises CannotStart."""
    Path(plan.box).mkdir(parents=True, exist_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as report, log.open("ab") as output:
        try:
            keeper = subprocess.Popen(
                [sys.executable, "-I", "-S", ENTER],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                pass_fds=(writing,),
                env={MARK: rig, POD_MARK: rig},
                start_new_session=True,
            )
        finally:
            os.close(writing)
        assert keeper.stdin is not None
        with suppress(BrokenPipeError), keeper.stdin as stdin:
            stdin.write(json.dumps({**asdict(plan), "report_fd": writing}).encode())
        lines = report.read().decode(errors="replace").splitlines()
    first = next((int(line) for line in lines if line.isdigit()), None)
    problem = next((line[1:] for line in lines if line.startswith("!")), None)
    if first is None or problem is not None:
        keeper.wait()
        raise CannotStart(problem or f"the box could not be made; see {log}")
    return Boxed(keeper=keeper, first=first, plan=plan)


def passwd() -> str:
    """An /etc/passwd for every box."""
    lines = [f"{name}:x:{uid}:{gid}::{home}:/bin/bash" for uid, (name, gid, home) in USERS.items()]
    return "\n".join([*lines, ""])


def group() -> str:
    """An /etc/group for every box."""
    return "\n".join([*(f"{name}:x:{gid}:" for name, gid in GROUPS.items()), ""])


def home_of(uid: int) -> str:
    """What a container runtime sets HOME to: from the passwd file, or `/` for a user that it does not have."""
    return USERS[uid][2] if uid in USERS else "/"
