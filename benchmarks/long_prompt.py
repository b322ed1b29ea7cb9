"""What a long prompt does to others: eight answers are being streamed when one of about 1,500 tokens comes."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median

import httpx

from benchmarks import client, modelyard, peers, prompts
from benchmarks.client import Arrival
from benchmarks.comparison import Comparison, Options, weights_directory
from benchmarks.console import console
from benchmarks.cpu import QUIET_CORES, CpuMeter, CpuUse, Patience
from benchmarks.environment import Environment
from benchmarks.errors import ServiceFailed
from benchmarks.figures import Spread
from benchmarks.report import Report, Row, Table
from benchmarks.service import MODELYARD, Service

NAME = "long_prompt"
STREAMS = 8
BEFORE = 32
"""Arrivals that every stream has had when the long prompt is sent."""

_STREAM_TOKENS = 1024
"""More than a stream gets before it is closed, whatever the long prompt takes."""
_ANSWER_TOKENS = 32
"""Of the long prompt; while they come the streams go on, so the median has gaps from after the prompt too."""
_POLL_SECONDS = 0.01

COLUMNS: Row = ("", "gap p50", "longest gap", "longest / p50", "of the least hit", "long prompt's first token", "runs")


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """When text came, all in seconds of one clock."""

    streams: Sequence[Sequence[float]]
    sent: float
    """When the long prompt was sent."""
    answered: float
    """When its first piece of text came."""


@dataclass(frozen=True, kw_only=True)
class Gaps:
    """What the streams' readers saw of one long prompt, in milliseconds."""

    p50: float
    """Between a piece of text and the next, over all streams and the whole time."""
    longest: Sequence[float]
    """Of each stream, of the gaps that overlap the time in which the prompt was computed."""
    first_token: float
    """Of the long prompt."""

    @property
    def ratios(self) -> list[float]:
        """Each stream's longest gap by the median gap."""
        return [each / self.p50 for each in self.longest]


@dataclass(frozen=True, kw_only=True)
class Run:
    """One long prompt on one service."""

    service: str
    run: int
    attempt: int
    gaps: Gaps
    cpu: CpuUse

    @property
    def disturbed(self) -> bool:
        return self.cpu.disturbed


def gaps(timeline: Timeline) -> Gaps:
    """Raises ServiceFailed if a stream ended before the long prompt was answered: its longest gap is not known then."""
    pairs = [list(itertools.pairwise(times)) for times in timeline.streams]
    everything = [later - earlier for own in pairs for earlier, later in own]
    longest: list[float] = []
    for own in pairs:
        if not own or own[-1][1] < timeline.answered:
            raise ServiceFailed("a stream ended before the long prompt was answered")
        during = [later - earlier for earlier, later in own if later > timeline.sent and earlier < timeline.answered]
        longest.append(max(during) * 1000)
    return Gaps(p50=median(everything) * 1000, longest=longest, first_token=(timeline.answered - timeline.sent) * 1000)


def run(options: Options, environment: Environment) -> Report:
    """Measure. Raises ServiceFailed where Modelyard itself cannot be measured."""
    comparison = Comparison(options)
    runs: list[Run] = []
    patience = Patience(options.wait_seconds)
    with contextlib.ExitStack() as stack:
        comparison.start(stack, MODELYARD, modelyard.running())
        if MODELYARD not in comparison.problems:
            weights = weights_directory()
            for name in options.peers:
                comparison.start(stack, peers.PEERS[name].name, peers.PEERS[name].start(weights, ()))
        # The first run of each is its warm-up: kernels for shapes that have not been met are made then.
        for number in range(-1, options.runs):
            for service in tuple(comparison.services):
                try:
                    found = _attempts(service, number, options, patience, comparison)
                except ServiceFailed as failure:
                    comparison.give_up(service, failure)
                else:
                    runs += found if number >= 0 else []
    if MODELYARD in comparison.problems:
        raise ServiceFailed(f"{MODELYARD}: {comparison.problems[MODELYARD]}")
    return report(options, environment, runs, comparison.problems)


def _attempts(service: Service, number: int, options: Options, patience: Patience, among: Comparison) -> list[Run]:
    everyone = {each.name: each.processes for each in among.services}
    found: list[Run] = []
    for attempt in range(1, options.attempts + 1):
        patience.wait(everyone)
        meter = CpuMeter(everyone)
        # No two alike: a cache of prefixes would have the second one ready.
        timeline = asyncio.run(_timeline(service, (number + 1) * options.attempts + attempt))
        found.append(Run(service=service.name, run=number, attempt=attempt, gaps=gaps(timeline), cpu=meter.stop()))
        this = found[-1]
        what = "warm-up" if number < 0 else f"run {number + 1} of {options.runs}"
        console.say(f"{what}, {service.name}: longest gap {max(this.gaps.longest):.0f} ms, p50 {this.gaps.p50:.1f} ms")
        if not this.disturbed or number < 0:
            break
    return found


async def _timeline(service: Service, number: int) -> Timeline:
    """Raises ServiceFailed."""
    asked = [each for [each] in prompts.for_clients(STREAMS, 1, first=number * STREAMS)]
    arrivals: list[list[Arrival]] = [[] for _ in asked]
    [model] = service.models[:1]
    async with client.connection(STREAMS + 1) as connection:
        begun: list[float] = []
        tasks: list[asyncio.Task[list[Arrival]]] = []
        try:
            for prompt, own in zip(asked, arrivals, strict=True):
                begun.append(time.perf_counter())
                streaming = client.stream(connection, service.base_url, model, prompt, _STREAM_TOKENS, own)
                tasks.append(asyncio.create_task(streaming))
                await asyncio.sleep(0)  # its clock begins now
            while any(len(own) < BEFORE for own in arrivals):
                for task in tasks:
                    if task.done():
                        task.result()
                        raise ServiceFailed(f"a stream ended before all of them had {BEFORE} pieces of text")
                await asyncio.sleep(_POLL_SECONDS)
            sent = time.perf_counter()
            long = prompts.long_prompt(number)
            answer = client.read(await client.stream(connection, service.base_url, model, long, _ANSWER_TOKENS, []))
        except httpx.HTTPError as error:
            raise ServiceFailed(f"{type(error).__name__}: {error}") from error
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    streams = [
        [start + seconds for seconds in client.pieces_of(own)] for start, own in zip(begun, arrivals, strict=True)
    ]
    return Timeline(streams=streams, sent=sent, answered=sent + answer.first_token)


def counting(runs: Sequence[Run]) -> list[Run]:
    """Of every run the attempt that strangers disturbed least."""
    best: dict[tuple[str, int], Run] = {}
    for each in runs:
        key = (each.service, each.run)
        if key not in best or each.cpu.strangers < best[key].cpu.strangers:
            best[key] = each
    return list(best.values())


def report(options: Options, environment: Environment, runs: Sequence[Run], problems: dict[str, str]) -> Report:
    counted = [each for each in counting(runs) if each.service not in problems]
    names = list(dict.fromkeys(each.service for each in counted))
    chosen = {id(each) for each in counted}
    disturbed = sum(each.disturbed for each in counted)
    return Report(
        name=NAME,
        title=f"{STREAMS} streams of {modelyard.PRESET} in bf16, and meanwhile a prompt of about 1,500 tokens",
        environment=environment,
        columns=COLUMNS,
        rows=[
            *(_row(name, [each.gaps for each in counted if each.service == name]) for name in names),
            *((name, *("-" for _ in COLUMNS[1:])) for name in problems),
        ],
        tables=[_beside(counted, names)] if len(names) > 1 else [],
        notes=[
            *(f"{service} could not be measured: {problem}" for service, problem in problems.items()),
            *([f"{disturbed} of {len(counted)} runs were disturbed by other processes"] if disturbed else []),
        ],
        parameters={
            "runs": options.runs,
            "streams": STREAMS,
            "before": BEFORE,
            "quiet_cores": QUIET_CORES,
            "preset": modelyard.PRESET,
            **peers.parameters(options.peers),
        },
        runs=[asdict(each) | {"ratios": each.gaps.ratios, "counts": id(each) in chosen} for each in runs],
    )


def _row(name: str, found: Sequence[Gaps]) -> Row:
    return (
        name,
        Spread.of([each.p50 for each in found]).text("ms"),
        Spread.of([max(each.longest) for each in found]).text("ms"),
        Spread.of([max(each.ratios) for each in found]).text(),
        Spread.of([min(each.ratios) for each in found]).text(),
        Spread.of([each.first_token for each in found]).text("ms"),
        str(len(found)),
    )


def _beside(counted: Sequence[Run], names: Sequence[str]) -> Table:
    """Modelyard's figures by each peer's, run by run."""
    found = {(each.service, each.run): each.gaps for each in counted}
    rows: list[Row] = []
    values: list[Mapping[str, object]] = []
    for name in (each for each in names if each != MODELYARD):
        both = [(found[MODELYARD, run], found[name, run]) for service, run in found if service == name]
        spreads = {
            "gap p50": Spread.of([ours.p50 / other.p50 for ours, other in both]),
            "longest gap": Spread.of([max(ours.longest) / max(other.longest) for ours, other in both]),
            "long prompt's first token": Spread.of([ours.first_token / other.first_token for ours, other in both]),
        }
        rows.append((f"{MODELYARD} / {name}", *(each.text() for each in spreads.values())))
        values.append({"service": MODELYARD, "by": name} | {key: asdict(each) for key, each in spreads.items()})
    columns = ("", "gap p50", "longest gap", "long prompt's first token")
    return Table(
        title="ratios of the same run, median of the runs: below 1 is shorter",
        columns=columns,
        rows=rows,
        values=values,
    )
