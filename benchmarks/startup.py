"""How long it is from `pulumi up` to the first token, and where the time goes."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import psutil

from benchmarks import client, modelyard, prompts
from benchmarks.console import console
from benchmarks.cpu import QUIET_CORES, CpuMeter, Patience
from benchmarks.environment import Environment
from benchmarks.figures import Spread
from benchmarks.phases import Phases
from benchmarks.repeats import Repeats
from benchmarks.report import Report, Row
from tests.stack.yard import Yard

NAME = "startup"
WARM = "up, warm: weights cached, no Ray"
COLD = "up, cold: no weights either"
NO_OP: Mapping[str, tuple[str, ...]] = {
    "preview, nothing to do": ("preview",),
    "up, nothing to do": ("up", "--yes"),
    "up --refresh, nothing to do": ("up", "--yes", "--refresh"),
}
COLUMNS: Row = (
    *("", "pulumi", "Ray start", "weights", "replica", "engine process", "load", "warm-up", "smoke prompt"),
    *("first token", "total"),
)


@dataclass(frozen=True, kw_only=True)
class Run:
    """One command."""

    what: str
    run: int
    seconds: float
    """Of the whole command."""
    strangers: float
    """Cores that other processes used meanwhile."""
    load_average: float
    """Of the last minute, before."""
    phases: Phases | None = None
    """Where the command brought a service up."""
    outputs: Mapping[str, float] | None = None
    """The phases as the stack's output has them."""


def run(options: Repeats, environment: Environment) -> Report:
    """Measure. Raises BenchmarkFailed with what pulumi said."""
    runs: list[Run] = []
    patience = Patience(options.wait_seconds)
    with modelyard.temporary_yard() as yard:
        with console.step("one up and destroy, so that the weights are cached"):
            modelyard.up(yard)
            modelyard.pulumi(yard, "destroy", "--yes")
        for number in range(options.runs):
            runs.append(_bring_up(yard, WARM, number, patience))
            runs += [_no_op(yard, what, number, patience) for what in NO_OP]
            modelyard.pulumi(yard, "destroy", "--yes")
    for number in range(options.runs):
        with tempfile.TemporaryDirectory(prefix="modelyard-cold-") as empty:
            caches = {"MODELYARD_CACHE": f"{empty}/modelyard", "UV_CACHE_DIR": f"{empty}/uv"}
            with modelyard.temporary_yard(caches) as yard:
                runs.append(_bring_up(yard, COLD, number, patience))
                modelyard.pulumi(yard, "destroy", "--yes")
    return report(options, environment, runs)


def _bring_up(yard: Yard, what: str, number: int, patience: Patience) -> Run:
    patience.wait({})
    load_average, meter = os.getloadavg()[0], CpuMeter({})
    seconds = modelyard.up(yard)
    use = meter.stop(started=yard.processes())
    console.say(f"{what}, run {number + 1}: {seconds:.1f} s")
    base_url = yard.endpoint(modelyard.WORKSPACE)
    load = client.load(base_url, [{"model": modelyard.WORKSPACE}], [[prompts.prompt(number)]], max_tokens=8)
    outputs: dict[str, float] = yard.outputs()[modelyard.WORKSPACE]["phases"]
    return Run(
        what=what,
        run=number,
        seconds=seconds,
        strangers=use.strangers,
        load_average=load_average,
        phases=Phases.of(seconds, yard.record.start_seconds, outputs, load.answers[0].first_token),
        outputs=outputs,
    )


def _no_op(yard: Yard, what: str, number: int, patience: Patience) -> Run:
    ray: dict[str, Sequence[psutil.Process]] = {"ray": yard.processes()}
    patience.wait(ray)
    load_average, meter = os.getloadavg()[0], CpuMeter(ray)
    command, *arguments = NO_OP[what]
    seconds = modelyard.pulumi(yard, command, *arguments)
    use = meter.stop()
    console.say(f"{what}, run {number + 1}: {seconds:.1f} s")
    return Run(what=what, run=number, seconds=seconds, strangers=use.strangers, load_average=load_average)


def report(options: Repeats, environment: Environment, runs: Sequence[Run]) -> Report:
    counted = "1 run" if options.runs == 1 else f"{options.runs} runs"
    kinds = (WARM, COLD, *NO_OP)
    return Report(
        name=NAME,
        title=f"from `pulumi up` to the first token of {modelyard.PRESET}, seconds, {counted}",
        environment=environment,
        columns=COLUMNS,
        rows=[_row(kind, [run for run in runs if run.what == kind]) for kind in kinds],
        notes=_notes(runs),
        parameters={**asdict(options), "quiet_cores": QUIET_CORES, "preset": modelyard.PRESET},
        runs=[asdict(run) for run in runs],
    )


def _row(kind: str, runs: Sequence[Run]) -> Row:
    if not runs:
        return (kind, *("-" for _ in COLUMNS[1:]))
    phases = [run.phases for run in runs if run.phases is not None]
    if not phases:
        return (kind, *("" for _ in COLUMNS[2:]), Spread.of([run.seconds for run in runs]).text())
    columns = zip(*(each.seconds() for each in phases), strict=True)
    total = Spread.of([each.total for each in phases])
    return (kind, *(Spread.of(column).text() for column in columns), total.text())


def _notes(runs: Sequence[Run]) -> list[str]:
    disturbed = [run for run in runs if run.strangers > QUIET_CORES]
    if not disturbed:
        return []
    worst = max(run.strangers for run in disturbed)
    return [
        f"{len(disturbed)} of {len(runs)} runs were disturbed: other processes used up to {worst:.1f} cores, and "
        "these runs took longer for it"
    ]
