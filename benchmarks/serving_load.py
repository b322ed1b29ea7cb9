"""Tokens per second, time to first token and gaps between tokens, beside a peer on the same weights and prompts."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType

from benchmarks import client, measurement, modelyard, prompts, transformers_serve
from benchmarks.console import console
from benchmarks.cpu import QUIET_CORES, Patience
from benchmarks.environment import PROJECT, Environment
from benchmarks.errors import ServiceFailed
from benchmarks.measurement import Level, Measurement, measure
from benchmarks.report import Report
from benchmarks.service import MODELYARD, TRANSFORMERS, Service
from components.reconciliation import weights
from presets.catalog import find_preset

NAME = "serving_load"


@dataclass(frozen=True, kw_only=True)
class Options:
    """How much is measured."""

    runs: int = 3
    tokens: int = 128
    """New tokens of each answer."""
    levels: tuple[Level, ...] = (Level(1, 4), Level(8, 2), Level(32, 1))
    attempts: int = 2
    """How often a measurement is tried when other processes disturb it."""
    wait_seconds: float = 120
    """How long all measurements together wait for other processes to leave the cores alone."""


QUICK = Options(runs=1, tokens=32, levels=(Level(1, 2), Level(8, 1)), attempts=1, wait_seconds=0)


class Comparison:
    """The services that still answer, and what was measured of them all."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._patience = Patience(options.wait_seconds)
        self.services: list[Service] = []
        self.measurements: list[Measurement] = []
        self.problems: dict[str, str] = {}

    def start(self, stack: contextlib.ExitStack, name: str, starting: AbstractContextManager[Service]) -> None:
        """Have the service run until `stack` closes; what keeps it from that is noted."""
        try:
            self.services.append(stack.enter_context(starting))
        except ServiceFailed as failure:
            self._give_up(name, failure)

    def measure(self) -> None:
        """One warm-up of each service, then run by run all of them in turn."""
        for step in (self._warm_up, *(partial(self._run, run) for run in range(self._options.runs))):
            for service in tuple(self.services):
                try:
                    step(service)
                except ServiceFailed as failure:
                    self.services.remove(service)
                    self._give_up(service.name, failure)

    def _give_up(self, name: str, failure: ServiceFailed) -> None:
        self.problems[name] = str(failure)
        console.say(f"{name} is not measured any more: {failure}")

    def _warm_up(self, service: Service) -> None:
        console.say(f"warming up: {service.name}")
        for level in self._options.levels:
            asked = prompts.for_clients(level.clients, 1, first=prompts.COUNT - level.clients)
            client.load(service.base_url, service.models, asked, max_tokens=16)

    def _run(self, run: int, service: Service) -> None:
        everyone = {each.name: each.processes for each in self.services}
        for level in self._options.levels:
            for attempt in range(1, self._options.attempts + 1):
                self._patience.wait(everyone)
                found = measure(
                    service, level, tokens=self._options.tokens, run=run, attempt=attempt, everyone=everyone
                )
                self.measurements.append(found)
                console.say(
                    f"run {run + 1} of {self._options.runs}, {service.name}, {level.clients} clients: "
                    f"{found.tokens_per_second:.1f} tokens/s in {found.seconds:.1f} s"
                    + (f", disturbed by {found.cpu.strangers:.1f} cores" if found.disturbed else "")
                )
                if not found.disturbed:
                    break


def run(options: Options, environment: Environment) -> Report:
    """Measure. Raises ServiceFailed where Modelyard itself cannot be measured."""
    comparison = Comparison(options)
    with contextlib.ExitStack() as stack:
        # The yard comes first: it brings the weights.
        comparison.start(stack, MODELYARD, modelyard.running())
        if MODELYARD not in comparison.problems:
            comparison.start(stack, TRANSFORMERS, transformers_serve.running(weights_directory()))
            comparison.measure()
    if MODELYARD in comparison.problems:
        raise ServiceFailed(f"{MODELYARD}: {comparison.problems[MODELYARD]}")
    return report(options, environment, comparison.measurements, comparison.problems)


def report(
    options: Options,
    environment: Environment,
    measurements: Sequence[Measurement],
    problems: Mapping[str, str],
    *,
    name: str = NAME,
    what: str = f"{modelyard.PRESET} in bf16",
    parameters: Mapping[str, object] = MappingProxyType({"peer": [TRANSFORMERS, *transformers_serve.OPTIONS]}),
) -> Report:
    """The table of a load. `what` was under it; `parameters` are those that not every load has."""
    counted = "1 run" if options.runs == 1 else f"{options.runs} runs"
    chosen = {id(each) for each in measurement.counting(measurements)}
    rows = measurement.rows(measurements)
    # Half a service's runs would look like all of them.
    rows = [row for row in rows if row[0] not in problems]
    empty = ("-",) * (len(measurement.COLUMNS) - 1)
    return Report(
        name=name,
        title=f"{what}, {options.tokens} new tokens an answer, temperature 0, {counted}",
        environment=environment,
        columns=measurement.COLUMNS,
        rows=[*rows, *((service, *empty) for service in problems)],
        notes=[
            *(f"{service} could not be measured: {problem}" for service, problem in problems.items()),
            *measurement.notes(measurements),
        ],
        parameters={**asdict(options), "quiet_cores": QUIET_CORES, "preset": modelyard.PRESET, **parameters},
        runs=[asdict(each) | {"counts": id(each) in chosen} for each in measurements],
    )


def weights_directory() -> Path:
    """The directory that Modelyard's engine reads too."""
    source = find_preset(modelyard.PRESET).weights_source
    return weights.fetch(PROJECT, source, console.say).path
