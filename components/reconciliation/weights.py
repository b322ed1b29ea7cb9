"""Weights and adapters on this machine, before anything is deployed: what cannot be had fails here and changes nothing.

The work is done by `python -m serving.weights` and `python -m serving.adapters` in the serving environment, which print
one JSON object a line. Only here are the secrets of the environment, such as HF_TOKEN: replicas do not get them.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from components.reconciliation import serving_environment
from presets.serve_config import AdapterSettings


class WeightsFailed(Exception):
    """Weights or an adapter cannot be had; `reason` is a condition's reason, the text says what to do."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


@dataclass(frozen=True)
class Fetched:
    """A local directory of safetensors, and a digest of what is in it."""

    path: Path
    digest: str


def fetch(project: Path, source: str, progress: Callable[[str], None]) -> Fetched:
    """Have a source's checked weights on this machine: fetched, converted and cached if need be."""
    done = _done(project, ["serving.weights", source], [], progress)
    if done.failure or not done.fetched:
        raise done.why(source)
    return done.fetched[0]


def fetch_adapters(
    project: Path, adapters: Sequence[AdapterSettings], model: Path, progress: Callable[[str], None]
) -> None:
    """Have adapters on this machine, checked against the config of the model in a directory. One process for all: to
    start one takes longer than to look whether an adapter is there already."""
    if not adapters:
        return
    listed = [json.dumps({"source": adapter.source, "rank": adapter.rank}) for adapter in adapters]
    done = _done(project, ["serving.adapters", "--model", str(model)], listed, progress)
    if len(done.fetched) < len(adapters):
        at_fault = adapters[len(done.fetched)]
        why = done.why(at_fault.source)
        raise WeightsFailed(why.reason, f"adapter {at_fault.name}: {why}")


@dataclass(frozen=True)
class _Done:
    """What a process has done before it ended."""

    fetched: list[Fetched]
    failure: WeightsFailed | None
    """Its own reason to end early."""
    end: str
    """How it ended, for where it gave no reason."""

    def why(self, source: str) -> WeightsFailed:
        """Of a source that it has not done."""
        return self.failure or WeightsFailed("WeightsFailed", f"fetching {source} ended with {self.end}")


def _done(project: Path, arguments: list[str], listed: list[str], progress: Callable[[str], None]) -> _Done:
    """Run a module of the serving environment; `listed`: the lines that it reads."""
    command = [str(serving_environment.program(project, "python")), "-m", *arguments]
    fetched: list[Fetched] = []
    failure: WeightsFailed | None = None
    with (
        # Files and not pipes: whoever reads or writes only one of several pipes can wait for ever.
        tempfile.TemporaryFile("w+") as stdin,
        tempfile.TemporaryFile("w+", errors="replace") as stderr,
    ):
        stdin.write("".join(f"{line}\n" for line in listed))
        stdin.seek(0)
        with subprocess.Popen(
            command, cwd=project, stdin=stdin, stdout=subprocess.PIPE, stderr=stderr, text=True
        ) as process:
            for event in filter(None, map(_event, process.stdout or ())):
                match event["event"]:
                    case "progress":
                        progress(event["message"])
                    case "done":
                        fetched.append(Fetched(Path(event["path"]), event["digest"]))
                    case "error":
                        failure = WeightsFailed(event["reason"], event["message"])
        stderr.seek(0)
        complaint = stderr.read().strip()
    words = complaint.splitlines()[-1] if complaint else "it said nothing"
    return _Done(fetched, failure, f"exit {process.returncode}: {words}")


def _event(line: str) -> dict[str, str] | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "event" in event else None
