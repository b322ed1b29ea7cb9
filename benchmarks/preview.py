"""How long a preview takes: stacks of 1, 10 and 100 workspaces on target aks, every model of the catalogue in turn."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.console import console
from benchmarks.environment import Environment
from benchmarks.errors import BenchmarkFailed
from benchmarks.figures import Spread
from benchmarks.report import Report, Row
from presets.catalog import catalog
from tests.stack.yard import Yard, workspace

NAME = "preview"
SIZES = (1, 10, 100)
COLUMNS: Row = ("workspaces", "seconds", "load average")


@dataclass(frozen=True, kw_only=True)
class Options:
    """How much is measured."""

    runs: int = 3


@dataclass(frozen=True, kw_only=True)
class Run:
    """One `pulumi preview` as a whole process."""

    workspaces: int
    run: int
    seconds: float
    load_average: float
    """Of the last minute, before."""


def run(options: Options, environment: Environment) -> Report:
    """Measure every size `options.runs` times. Raises BenchmarkFailed if a preview fails."""
    with tempfile.TemporaryDirectory(prefix="modelyard-preview-") as folder:
        yard = Yard(Path(folder))
        runs = [_measure(yard, size, number) for size in SIZES for number in range(1, options.runs + 1)]
    return Report(
        name=NAME,
        title=f"pulumi preview of target aks, median of {options.runs} runs ± half their range",
        environment=environment,
        columns=COLUMNS,
        rows=[_row(size, [each for each in runs if each.workspaces == size]) for size in SIZES],
        notes=["nothing is deployed and no cloud is asked; KAITO has no preview to compare with"],
        parameters=asdict(options),
        runs=[asdict(each) for each in runs],
    )


def stack(size: int) -> Sequence[Mapping[str, Any]]:
    """A stack's workspaces: the catalogue's models in turn, each on the size that the plan chooses."""
    names = sorted(catalog())
    return [workspace(f"workspace-{number}", names[number % len(names)]) for number in range(size)]


def _measure(yard: Yard, size: int, number: int) -> Run:
    yard.configure(*stack(size), target="aks")
    load = os.getloadavg()[0]
    started = time.perf_counter()
    done = yard.pulumi("preview")
    seconds = time.perf_counter() - started
    if done.code:
        raise BenchmarkFailed(f"the preview of {size} workspaces failed:\n{done.text}")
    console.say(f"{size} workspaces, run {number}: {seconds:.1f} s")
    return Run(workspaces=size, run=number, seconds=seconds, load_average=load)


def _row(size: int, runs: Sequence[Run]) -> Row:
    seconds = Spread.of([each.seconds for each in runs])
    return str(size), seconds.text(), f"{max(each.load_average for each in runs):.1f}"
