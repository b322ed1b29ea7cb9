"""One level of load on one service, measured once; and the table that many of them make."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import psutil

from benchmarks import client, prompts
from benchmarks.cpu import CpuMeter, CpuUse, memory_mib
from benchmarks.figures import Spread, percentile
from benchmarks.report import Row
from benchmarks.service import MODELYARD, Service


@dataclass(frozen=True)
class Level:
    """So many clients at once, each asking `each` prompts one after the other."""

    clients: int
    each: int


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What the clients of one level saw. Times of single requests and tokens are in milliseconds."""

    service: str
    """The service's label."""
    program: str
    """The service's name: one program may be measured in several ways."""
    run: int
    clients: int
    each: int
    """Prompts that each client asked."""
    attempt: int
    """From 1; a disturbed measurement is repeated."""
    seconds: float
    """From the first request to the last token."""
    tokens: int
    tokens_per_second: float
    first_tokens: Sequence[float]
    """Of every request, from sending it to its first piece of text."""
    first_token_p50: float
    first_token_p95: float
    gap_p50: float
    """Between a piece of text and the next, over all requests."""
    gap_p95: float
    gap_max: float
    stopped_early: int
    """Answers that ended before they had all the tokens asked for."""
    cpu: CpuUse
    memory_mib: float
    """Of all the service's processes, right after the load."""
    load_average: float
    """Of the last minute, before."""

    @property
    def disturbed(self) -> bool:
        return self.cpu.disturbed


def measure(
    service: Service,
    level: Level,
    *,
    each: int,
    first: int,
    tokens: int,
    run: int,
    attempt: int,
    everyone: Mapping[str, Sequence[psutil.Process]],
) -> Measurement:
    """Put the load on the service. `everyone`: the processes of all services, so that they are not taken for strangers.

    each: how many of its prompts a client asks. first: the number of the first prompt. Raises ServiceFailed.
    """
    asked = [own[:each] for own in prompts.for_clients(level.clients, level.each, first)]
    load_average = os.getloadavg()[0]
    meter = CpuMeter(everyone)
    load = client.load(service.base_url, service.models, asked, tokens)
    cpu = meter.stop()
    firsts = [answer.first_token * 1000 for answer in load.answers]
    gaps = [gap * 1000 for answer in load.answers for gap in answer.gaps]
    total = sum(answer.tokens for answer in load.answers)
    return Measurement(
        service=service.label,
        program=service.name,
        run=run,
        clients=level.clients,
        each=each,
        attempt=attempt,
        seconds=load.seconds,
        tokens=total,
        tokens_per_second=total / load.seconds,
        first_tokens=firsts,
        first_token_p50=percentile(firsts, 50),
        first_token_p95=percentile(firsts, 95),
        gap_p50=percentile(gaps, 50),
        gap_p95=percentile(gaps, 95),
        gap_max=max(gaps),
        stopped_early=sum(answer.tokens < tokens for answer in load.answers),
        cpu=cpu,
        memory_mib=memory_mib(service.processes),
        load_average=load_average,
    )


def counting(measurements: Sequence[Measurement]) -> list[Measurement]:
    """Of every run the attempt that strangers disturbed least: chosen by their CPU time, never by the result."""
    best: dict[tuple[str, int, int], Measurement] = {}
    for each in measurements:
        key = (each.service, each.clients, each.run)
        if key not in best or each.cpu.strangers < best[key].cpu.strangers:
            best[key] = each
    return list(best.values())


COLUMNS: Row = (
    *("", "clients", "tokens/s", "first token p50", "first token p95", "gap p50", "gap p95", "cores used", "memory"),
)


def rows(measurements: Sequence[Measurement]) -> list[Row]:
    """One row for every number of clients and service, Modelyard first; of every run the attempt that counts."""
    groups: dict[tuple[int, str], list[Measurement]] = {}
    for each in counting(measurements):
        groups.setdefault((each.clients, each.service), []).append(each)
    # Stable: services of one number of clients stay in the order in which they were measured.
    ordered = sorted(groups.items(), key=lambda item: (item[0][0], item[1][0].program != MODELYARD))
    return [_row(*key, group) for key, group in ordered]


def _row(clients: int, service: str, group: Sequence[Measurement]) -> Row:
    def spread(of: Callable[[Measurement], float], unit: str = "") -> str:
        return Spread.of([of(each) for each in group]).text(unit)

    return (
        service,
        str(clients),
        spread(lambda each: each.tokens_per_second),
        spread(lambda each: each.first_token_p50, "ms"),
        spread(lambda each: each.first_token_p95, "ms"),
        spread(lambda each: each.gap_p50, "ms"),
        spread(lambda each: each.gap_p95, "ms"),
        spread(lambda each: each.cpu.services[each.program]),
        spread(lambda each: each.memory_mib / 1024, "GiB"),
    )


def notes(measurements: Sequence[Measurement]) -> list[str]:
    """What the rows do not show."""
    counted = counting(measurements)
    found: list[str] = []
    if disturbed := [each for each in counted if each.disturbed]:
        worst = max(each.cpu.strangers for each in disturbed)
        found.append(
            f"{len(disturbed)} of {len(counted)} measurements were disturbed: other processes used up to "
            f"{worst:.1f} cores, and figures of these runs are too low"
        )
    if repeated := len(measurements) - len(counted):
        found.append(f"{repeated} disturbed measurements were repeated and do not count")
    if early := sum(each.stopped_early for each in counted):
        found.append(f"{early} answers stopped before they had all the tokens asked for")
    if idle := [max(_others(each), default=0.0) for each in counted]:
        found.append(f"services that were not asked anything used up to {max(idle):.2f} cores meanwhile")
    if counted:
        found.append(f"the clients themselves used up to {max(each.cpu.client for each in counted):.2f} cores")
    return found


def _others(each: Measurement) -> list[float]:
    """Cores of the services that were not measured then."""
    return [cores for program, cores in each.cpu.services.items() if program != each.program]
