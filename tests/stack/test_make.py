"""The README's commands, as they stand there, in a checkout of their own with its own state."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from components.reconciliation import processes
from components.reconciliation.local_ray import LocalRay
from components.reconciliation.ray_dashboard import RayUnreachable
from tests.stack.yard import checkout, neutral_environment
from tests.waiting import eventually

pytestmark = pytest.mark.stack

DEV = "smollm2"
"""The workspace of the dev stack."""


@pytest.fixture
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = checkout(tmp_path_factory.mktemp("make"))
    yield folder
    LocalRay(folder, "dev").stop()


def make(project: Path, target: str) -> str:
    done = subprocess.run(
        ["make", target],
        cwd=project,
        env=neutral_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def is_sent(project: Path) -> bool:
    """Whether the dev stack's application has reached Ray Serve."""
    ray = LocalRay(project, "dev")
    record = ray.record()
    if record is None:
        return False
    try:
        with ray.dashboard(record) as dashboard:
            return DEV in dashboard.applications()
    except RayUnreachable:
        return False


def test_a_killed_make_up_is_finished_by_the_next_and_make_down_leaves_nothing(project: Path) -> None:
    quiet = subprocess.DEVNULL
    first = subprocess.Popen(
        ["make", "up"], cwd=project, env=neutral_environment(), stdin=quiet, stdout=quiet, stderr=quiet
    )
    eventually(lambda: is_sent(project), 180, "the application is sent to Ray")
    [engine] = [child for child in psutil.Process(first.pid).children(recursive=True) if child.name() == "pulumi"]
    engine.send_signal(signal.SIGKILL)
    assert first.wait(timeout=60) != 0

    second = make(project, "up")
    assert "Unlocked stack dev" in second, second
    assert "smollm2 answers at http://127.0.0.1:" in second, second
    third = make(project, "up")
    assert "unchanged" in third, third
    assert "no change" in third, third

    family = LocalRay(project, "dev").processes()
    assert len(family) > 10
    make(project, "down")
    assert not LocalRay(project, "dev").processes()
    assert not [process for process in family if processes.lives(process)]
    make(project, "down")
