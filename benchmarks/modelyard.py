"""Modelyard under test: a project of its own in a temporary folder, brought up with the real pulumi."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.console import console
from benchmarks.errors import BenchmarkFailed, ServiceFailed
from benchmarks.service import MODELYARD, Service, Target
from components.reconciliation import ports
from tests.stack.yard import STACK, TINY, Yard, workspace

WORKSPACE = "chat"
PRESET = TINY


@contextmanager
def temporary_yard(environment: Mapping[str, str] | None = None, adapters: Sequence[Path] = ()) -> Iterator[Yard]:
    """A project whose stack wants one workspace; nothing runs yet, and nothing is left afterwards.

    environment: variables that its commands get besides our own. adapters: directories of adapters for the workspace.
    """
    with tempfile.TemporaryDirectory(prefix="modelyard-bench-") as folder:
        yard = Yard(Path(folder))
        yard.environment |= environment or {}
        try:
            # Pinned, because others may be looking for a port upwards from the usual one at this very moment.
            serve, dashboard = ports.any_free(2)
            yard.configure(spec(adapters), ray={"servePort": serve, "dashboardPort": dashboard})
            yield yard
        finally:
            yard.close()


def spec(adapters: Sequence[Path] = ()) -> dict[str, Any]:
    """The workspace as the stack's config has it."""
    wanted = workspace(WORKSPACE, preset=PRESET)
    wanted["inference"]["adapters"] = [
        {"source": {"name": directory.name, "uri": f"file:{directory}"}} for directory in adapters
    ]
    return wanted


def configure(yard: Yard, adapters: Sequence[Path] = ()) -> None:
    """Edit the adapters of a yard whose Ray runs, and nothing else."""
    record = yard.record
    ports_now = {"servePort": record.serve_port, "dashboardPort": record.dashboard_port}
    yard.configure(spec(adapters), ray=ports_now)


def pulumi(yard: Yard, command: str, *arguments: str) -> float:
    """Run it as a person would, preview included; the seconds that it took. Raises BenchmarkFailed."""
    begun = time.monotonic()
    done = yard.run("pulumi", command, *arguments, "--non-interactive", "--color=never", "--stack", STACK)
    seconds = time.monotonic() - begun
    if done.code != 0:
        errors = dict.fromkeys(line.strip() for line in done.text.splitlines() if "error: " in line)
        raise BenchmarkFailed(f"pulumi {command} ended with {done.code}:\n" + ("\n".join(errors) or done.text))
    return seconds


def up(yard: Yard, *arguments: str) -> float:
    return pulumi(yard, "up", "--yes", *arguments)


def targets(adapters: Sequence[Path]) -> list[Target]:
    """The model, then each adapter."""
    return [{"model": WORKSPACE}, *({"model": f"{WORKSPACE}:{each.name}"} for each in adapters)]


@contextmanager
def running(adapters: Sequence[Path] = ()) -> Iterator[Service]:
    """The service that one `pulumi up` makes. Raises ServiceFailed.

    adapters: directories of adapters that it serves too, by their names; the first target is the model without.
    """
    with temporary_yard(adapters=adapters) as yard:
        try:
            with console.step(f"{MODELYARD}: pulumi up", usual="usually less than a minute"):
                up(yard)
        except BenchmarkFailed as failure:
            raise ServiceFailed(str(failure)) from failure
        yield Service(
            name=MODELYARD,
            base_url=yard.endpoint(WORKSPACE),
            models=targets(adapters),
            processes=tuple(yard.processes()),
        )
