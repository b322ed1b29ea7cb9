"""The long-running programs of a rig: started, written down, stopped by their ids, found again after a crash."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

MARK = "MODELYARD_RIG"
"""Stands in the environment of everything that a rig starts, with the rig's name; only such processes are ended."""

POD_MARK = "MODELYARD_RIG_POD"
"""Stands beside it in what a kubelet has started for a pod."""


@dataclass(frozen=True, kw_only=True)
class Program:
    """What to run, under a name."""

    name: str
    argv: list[str]
    env: dict[str, str] = field(default_factory=dict[str, str])
    cwd: str | None = None
    inside: bool = True
    """In the rig's network namespace."""


class Processes:
    """The programs of one rig. `file` remembers them for another process."""

    def __init__(self, file: Path, logs: Path, netns: str) -> None:
        self._file, self._logs, self._netns = file, logs, netns
        self._programs: dict[str, Program] = {}
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        self.pids: dict[str, int] = {}

    def load(self) -> None:
        """Take over the programs that another process has started."""
        if self._file.exists():
            for name, entry in json.loads(self._file.read_text(encoding="utf-8")).items():
                self._programs[name] = Program(**entry["program"])
                if entry["pid"]:
                    self.pids[name] = entry["pid"]

    def start(self, program: Program) -> None:
        """Start a program in a session of its own; what it writes goes to a file of its name."""
        prefix = ["ip", "netns", "exec", self._netns] if program.inside else []
        self._logs.mkdir(parents=True, exist_ok=True)
        with self.log(program.name).open("ab") as log:
            process = subprocess.Popen(
                [*prefix, *program.argv],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**without_proxies(), **program.env, MARK: self._netns},
                cwd=program.cwd,
                start_new_session=True,
            )
        self._children[process.pid] = process
        self._programs[program.name] = program
        self.pids[program.name] = process.pid
        self._save()

    def start_again(self, name: str) -> None:
        """Start a stopped program as it was started first."""
        self.start(self._programs[name])

    def stop(self, name: str, *, grace: float = 10.0) -> None:
        """Ask a program to end, and end it after `grace` seconds."""
        pid = self.pids.pop(name, None)
        if pid is not None and is_marked(pid, self._netns):
            _send(pid, signal.SIGTERM)
            if not self._ends_within(pid, grace):
                _send(pid, signal.SIGKILL)
                self._ends_within(pid, 5.0)
        self._save()

    def kill_all(self) -> None:
        """End all programs at once; none of them has anything to keep."""
        pids = list(self.pids.values())
        self.pids.clear()
        for pid in pids:
            if is_marked(pid, self._netns):
                _send(pid, signal.SIGKILL)
        for child in self._children.values():
            child.wait(5.0)
        self._save()

    def runs(self, name: str) -> bool:
        """Whether a program is there and alive."""
        pid = self.pids.get(name)
        return pid is not None and self._alive(pid)

    def log(self, name: str) -> Path:
        """Where a program's output goes."""
        return self._logs / f"{name}.log"

    def _ends_within(self, pid: int, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self._alive(pid):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def _alive(self, pid: int) -> bool:
        child = self._children.get(pid)
        if child is not None and child.poll() is not None:  # reaps it
            return False
        return is_alive(pid)

    def _save(self) -> None:
        entries = {
            name: {"pid": self.pids.get(name), "program": asdict(program)} for name, program in self._programs.items()
        }
        if not self._file.parent.is_dir():
            return
        part = self._file.with_suffix(".part")
        part.write_text(json.dumps(entries, indent=1), encoding="utf-8")
        part.rename(self._file)


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def end_marked(netns: str, mark: str = MARK) -> None:
    """End everything that a rig of this name has ever started and that still runs; with POD_MARK, its pods alone."""
    for _ in range(50):
        left = list(marked(netns, mark))
        if not left:
            return
        for pid in left:
            for each in (*children(pid), pid):
                _send(each, signal.SIGKILL)
        time.sleep(0.05)


def marked(netns: str, mark: str = MARK) -> Iterator[int]:
    """The processes that carry a rig's mark."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid() and is_marked(int(entry.name), netns, mark):
            yield int(entry.name)


def is_marked(pid: int, netns: str, mark: str = MARK) -> bool:
    """Whether this process is one of a rig's, alive, and not another one with the same number."""
    try:
        words = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False
    return f"{mark}={netns}".encode() in words and is_alive(pid)


def is_alive(pid: int) -> bool:
    """True while the process runs; one that waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def started_at(pid: int) -> int | None:
    """When a process started, in ticks since the machine did: with its number, this tells it from any other."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[19])
    except OSError:
        return None


def children(pid: int) -> list[int]:
    """The processes that a process has started and not yet reaped."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()]
    except OSError:
        return []


def resident_mib(pid: int) -> float:
    """Memory of one process, in MiB."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="utf-8").split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def without_proxies() -> dict[str, str]:
    """This process's environment, less what would send requests for a rig's addresses elsewhere."""
    return {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
