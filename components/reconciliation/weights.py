"""Weights and adapters on this machine, before anything is deployed: what cannot be had fails here and changes nothing.

The work is done by `python -m serving.weights` and `python -m serving.adapters` in the serving environment, which print
one JSON object a line. Only here are the secrets of the environment, such as HF_TOKEN: replicas do not get them.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable
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
    return _fetched(project, ["serving.weights", source], source, progress)


def fetch_adapter(project: Path, adapter: AdapterSettings, model: Path, progress: Callable[[str], None]) -> Fetched:
    """Have an adapter on this machine, checked against the config of the model in a directory."""
    arguments = ["serving.adapters", adapter.source, "--model", str(model), "--rank", str(adapter.rank)]
    try:
        return _fetched(project, arguments, adapter.source, progress)
    except WeightsFailed as failed:
        raise WeightsFailed(failed.reason, f"adapter {adapter.name}: {failed}") from failed


def _fetched(project: Path, arguments: list[str], source: str, progress: Callable[[str], None]) -> Fetched:
    command = [str(serving_environment.program(project, "python")), "-m", *arguments]
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
