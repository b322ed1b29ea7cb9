"""Weights on this machine, before anything is deployed: a source that cannot be had fails here and changes nothing.

The work is done by `python -m serving.weights` in the serving environment, which prints one JSON object a line.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from components.reconciliation import serving_environment


class WeightsFailed(Exception):
    """The weights cannot be had; `reason` is a condition's reason, the text says what to do."""

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
    command = [str(serving_environment.program(project, "python")), "-m", "serving.weights", source]
    last: dict[str, str] = {}
    with (
        # A file and not a pipe: whoever reads only one of two pipes can wait for ever.
        tempfile.TemporaryFile("w+", errors="replace") as stderr,
        subprocess.Popen(
            command, cwd=project, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr, text=True
        ) as process,
    ):
        for line in process.stdout or ():
            last = _event(line) or last
            if last.get("event") == "progress":
                progress(last["message"])
        process.wait()
        stderr.seek(0)
        complaint = stderr.read().strip()
    if last.get("event") == "done":
        return Fetched(Path(last["path"]), last["digest"])
    if last.get("event") == "error":
        raise WeightsFailed(last["reason"], last["message"])
    words = complaint.splitlines()[-1] if complaint else "it said nothing"
    raise WeightsFailed("WeightsFailed", f"fetching {source} ended with exit {process.returncode}: {words}")


def _event(line: str) -> dict[str, str] | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "event" in event else None
