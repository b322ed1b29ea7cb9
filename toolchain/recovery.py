"""Clears what a killed `pulumi` left, so that the next command need not be told to.

Only for file backends on this machine: there the holder of a lock is a process that can be looked up.
"""

import contextlib
import itertools
import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from toolchain import stack_file
from toolchain.commands import run
from toolchain.console import Console
from toolchain.errors import ToolchainError

HELPERS = ("pulumi-language-python", "pulumi-resource-", "pulumi.dynamic")
"""In the command line of every process that an engine starts for a Python program."""

ADDRESS = re.compile(r"^127\.0\.0\.1:(\d+)$")
GRACE_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class StackLock:
    """One lock of a stack in a file backend, as Pulumi writes it."""

    path: Path
    pid: int
    user: str
    host: str
    since: str

    @property
    def holder(self) -> str:
        """For messages."""
        return f"process {self.pid} ({self.user}@{self.host}, since {self.since})"


def locks(state: Path, project: str, stack: str) -> list[StackLock]:
    """The locks that Pulumi would find, oldest first."""
    found: list[StackLock] = []
    for path in (state / ".pulumi" / "locks" / "organization" / project / stack).glob("*.json"):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            found.append(
                StackLock(
                    path=path,
                    pid=int(content["pid"]),
                    user=str(content["username"]),
                    host=str(content["hostname"]),
                    since=str(content["timestamp"]).split(".")[0],
                )
            )
        except FileNotFoundError:
            continue  # its holder has just finished
        except (ValueError, KeyError, TypeError):
            # A lock that was being written when its holder was killed names nobody.
            found.append(StackLock(path=path, pid=0, user="unknown", host=socket.gethostname(), since="unknown"))
    return sorted(found, key=lambda lock: lock.since)


def recover(root: Path, state: Path, stack: str, env: Mapping[str, str], console: Console) -> None:
    """Remove locks of dead processes, end what they left running, and forget creations that they did not finish.

    Raises ToolchainError if a lock's holder is alive, or is on another machine and cannot be looked up.
    """
    project = stack_file.project(root)
    stale = locks(state, project, stack)
    for lock in stale:
        _refuse_if_held(lock, stack)
    for process in orphans(root):
        end(process)
        console.say(f"Ended process {process}, which an interrupted pulumi left running")
    if stale:
        run(["pulumi", "cancel", "--yes", "--stack", stack], env=env, cwd=root, way_out=f"remove {stale[0].path}")
        console.say(f"Unlocked stack {stack}: {stale[0].holder} is gone")


def forget_pending_creations(root: Path, state: Path, stack: str, env: Mapping[str, str], console: Console) -> None:
    """Drop creations that an interrupted update began: the next update creates again, and adopts what it finds.

    Pulumi would warn of them at every update from then on, and drops them only in a refresh of its own.
    """
    latest = stack_file.checkpoint(state, stack_file.project(root), stack) or {}
    pending = latest.get("pending_operations")
    names = [_name(entry) for entry in pending if _is_creation(entry)] if isinstance(pending, list) else []
    if not names:
        return
    with console.step(f"Clearing up after an interrupted update, which was creating {', '.join(names)}"):
        run(
            ["pulumi", "refresh", "--yes", "--skip-preview", "--clear-pending-creates", "--stack", stack],
            env=env,
            cwd=root,
            way_out=f"run `pulumi refresh --stack {stack}` yourself and answer its questions",
        )


def orphans(root: Path) -> list[int]:
    """Processes that an engine started for the program in `root`, and whose engine is gone.

    An engine tells each of them the port on which it listens; where nobody answers, it has ended without them. They
    would not notice: they finish what they were doing, side effects included, and then wait for ever.
    """
    return [process for process in _processes() if _cwd(process) == root and _engine_is_gone(_words(process))]


def end(process: int) -> None:
    """Ask a process to end, and make it end after a while."""
    deadline = time.monotonic() + GRACE_SECONDS
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGTERM)
        while time.monotonic() < deadline:
            if not _words(process):
                return
            time.sleep(0.05)
        os.kill(process, signal.SIGKILL)


def _refuse_if_held(lock: StackLock, stack: str) -> None:
    if lock.host != socket.gethostname():
        raise ToolchainError(
            f"stack {stack} is locked by {lock.holder} on another machine, so it cannot be looked up here",
            f'wait for it; if it is gone, `eval "$(make env)" && pulumi cancel --stack {stack}`',
        )
    if lock.pid and _is_pulumi(lock.pid):
        raise ToolchainError(
            f"stack {stack} is being changed by {lock.holder}",
            f"wait until it has finished, or end it with `kill -INT {lock.pid}`, and try again",
        )


def _is_pulumi(process: int) -> bool:
    """Whether a process is alive and not a later one that was given the same number."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # alive, another user's
    try:
        name = Path(f"/proc/{process}/comm").read_text(encoding="utf-8")
    except OSError:
        listing = subprocess.run(["ps", "-p", str(process), "-o", "comm="], capture_output=True, text=True, check=False)
        name = listing.stdout
    return Path(name.strip()).name == "pulumi"


def _processes() -> Iterator[int]:
    # Without /proc (macOS) nothing is found, and nothing is ended.
    for entry in Path("/proc").glob("[0-9]*"):
        yield int(entry.name)


def _words(process: int) -> list[str]:
    """A process's command line; empty for one that has ended."""
    try:
        line = Path(f"/proc/{process}/cmdline").read_bytes().decode(errors="replace").rstrip("\0")
    except OSError:
        return []
    return line.split("\0") if line else []


def _cwd(process: int) -> Path | None:
    try:
        return Path(os.readlink(f"/proc/{process}/cwd"))
    except OSError:
        return None


def _engine_is_gone(words: list[str]) -> bool:
    if not any(helper in word for word in words[:4] for helper in HELPERS):
        return False
    after_flag = [word for flag, word in itertools.pairwise(words) if flag == "--engine"]
    addresses = [found for word in (after_flag or words) if (found := ADDRESS.match(word))]
    if not addresses:
        return False
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", int(addresses[-1][1]))) != 0


def _is_creation(entry: object) -> bool:
    return isinstance(entry, dict) and entry.get("type") == "creating"


def _name(entry: object) -> str:
    match entry:
        case {"resource": {"urn": str(urn)}}:
            return urn.rsplit("::", 1)[-1]
        case _:
            return "a resource"
