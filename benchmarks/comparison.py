"""Several services on one machine, measured run by run in turn."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks import client, modelyard, prompts
from benchmarks.console import console
from benchmarks.cpu import Patience
from benchmarks.environment import PROJECT
from benchmarks.errors import ServiceFailed
from benchmarks.measurement import Level, Measurement, measure
from benchmarks.peers import PEERS
from benchmarks.repeats import Repeats
from benchmarks.service import Service
from components.reconciliation import weights
from presets.catalog import find_preset

WARM_UP_TOKENS = 16


@dataclass(frozen=True, kw_only=True)
class Options(Repeats):
    """How much is measured of a load."""

    tokens: int = 128
    """New tokens of each answer."""
    levels: tuple[Level, ...] = (Level(1, 4), Level(8, 2), Level(32, 1))
    attempts: int = 2
    """How often a measurement is tried when other processes disturb it."""
    longest_seconds: float = 60
    """A level that a service would need longer for, at its speed of the warm-up, is measured with fewer prompts. One
    that took more than twice as long all the same is measured once: it is not repeated and not in later runs."""
    peers: tuple[str, ...] = tuple(PEERS)
    """Names in `peers.PEERS`."""


QUICK = Options(runs=1, tokens=32, levels=(Level(1, 2), Level(8, 1)), attempts=1, wait_seconds=0)


class Comparison:
    """The services that still answer, and what was measured of them all."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._patience = Patience(options.wait_seconds)
        self._each: dict[tuple[str, Level], int] = {}
        self._variants: list[str] = []
        self._too_slow: set[tuple[str, Level]] = set()
        self.services: list[Service] = []
        self.measurements: list[Measurement] = []
        self.problems: dict[str, str] = {}

    def start(
        self, stack: contextlib.ExitStack, name: str, starting: AbstractContextManager[Service]
    ) -> Service | None:
        """Have the service run until `stack` closes, and measure it; what keeps it from that is noted."""
        try:
            service = stack.enter_context(starting)
        except ServiceFailed as failure:
            self._note(name, failure)
            return None
        self.services.append(service)
        return service

    def measure(self) -> None:
        """One warm-up of each service, then run by run all of them in turn."""
        for step in (self._warm_up, *(partial(self._run, run) for run in range(self._options.runs))):
            for service in tuple(self.services):
                try:
                    step(service)
                except ServiceFailed as failure:
                    self.give_up(service, failure)

    def give_up(self, service: Service, failure: ServiceFailed) -> None:
        """The service is not measured any more, and its reason is noted."""
        self.services.remove(service)
        self._note(service.label, failure)

    def _note(self, name: str, failure: ServiceFailed) -> None:
        self.problems[name] = str(failure)
        console.say(f"{name} is not measured any more: {failure}")

    def _warm_up(self, service: Service) -> None:
        console.say(f"warming up: {service.label}")
        for level in self._options.levels:
            asked = prompts.for_clients(level.clients, 1, first=prompts.WARM_UP)
            load = client.load(service.base_url, service.models, asked, max_tokens=WARM_UP_TOKENS)
            self._each[service.label, level] = prompts_each(level, load.seconds, self._options)

    def _run(self, run: int, service: Service) -> None:
        everyone = {each.name: each.processes for each in self.services}
        for level in self._options.levels:
            if (service.label, level) in self._too_slow:
                continue
            for attempt in range(1, self._options.attempts + 1):
                self._patience.wait(everyone)
                found = measure(
                    service,
                    level,
                    each=self._each[service.label, level],
                    first=first_prompt(self._variant(service), run, level, attempt, self._options),
                    tokens=self._options.tokens,
                    run=run,
                    attempt=attempt,
                    everyone=everyone,
                )
                self.measurements.append(found)
                console.say(
                    f"run {run + 1} of {self._options.runs}, {service.label}, {level.clients} clients: "
                    f"{found.tokens_per_second:.1f} tokens/s in {found.seconds:.1f} s"
                    + (f", disturbed by {found.cpu.strangers:.1f} cores" if found.disturbed else "")
                )
                if found.seconds > 2 * self._options.longest_seconds:
                    self._too_slow.add((service.label, level))
                    break
                if not found.disturbed:
                    break

    def _variant(self, service: Service) -> int:
        """The place of how the service is asked among all such ways; one way has the same place in all services."""
        self._variants = list(dict.fromkeys([*self._variants, service.variant]))
        return self._variants.index(service.variant)


def first_prompt(variant: int, run: int, level: Level, attempt: int, options: Options) -> int:
    """The number of the first prompt of a measurement: no service is ever asked the same twice, but all get the same.

    What a service still holds of a prompt it does not compute again, which would make a repeated one look faster.
    """
    sizes = [each.clients * each.each for each in options.levels]
    measurements = (variant * options.runs + run) * options.attempts + attempt - 1
    return measurements * sum(sizes) + sum(sizes[: options.levels.index(level)])


def prompts_each(level: Level, warm_up_seconds: float, options: Options) -> int:
    """As many of a client's prompts as fit into the time; one at least, since the clients are what they are.

    warm_up_seconds: that one short answer for each client took, the first of all included, so this errs to fewer.

    >>> options = Options(tokens=128, longest_seconds=60)
    >>> prompts_each(Level(8, 4), 20.0, options), prompts_each(Level(8, 4), 0.5, options)
    (1, 4)
    """
    seconds = warm_up_seconds * options.tokens / WARM_UP_TOKENS
    return max(1, min(level.each, int(options.longest_seconds / max(seconds, 1e-9))))


def weights_directory() -> Path:
    """The directory that Modelyard's engine reads too."""
    source = find_preset(modelyard.PRESET).weights_source
    return weights.fetch(PROJECT, source, console.say).path
