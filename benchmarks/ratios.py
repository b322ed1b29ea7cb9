"""How one service stands beside another: run by run, since what disturbs a machine for minutes disturbs both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from benchmarks.figures import Spread
from benchmarks.measurement import Measurement, counting
from benchmarks.report import Row, Table

Pair = tuple[str, str]
"""Labels of two services: figures of the first one are divided by those of the second."""

COLUMNS: Row = ("", "clients", "tokens/s", "first token p50", "runs", "disturbed")


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """Two services at one number of clients."""

    service: str
    by: str
    clients: int
    tokens_per_second: Spread
    """Above 1: the first one is faster."""
    first_token_p50: Spread
    """Below 1: the first one is faster."""
    disturbed: int
    """Runs in which strangers disturbed either one."""


def ratios(measurements: Sequence[Measurement], pairs: Sequence[Pair]) -> list[Ratio]:
    """By number of clients, then in the pairs' order. Only runs that have both count; a pair without any is none."""
    found = {(each.service, each.clients, each.run): each for each in counting(measurements)}
    levels = sorted({each.clients for each in found.values()})
    runs = sorted({each.run for each in found.values()})
    made: list[Ratio] = []
    for clients in levels:
        for service, by in pairs:
            both = [
                (found[service, clients, run], found[by, clients, run])
                for run in runs
                if (service, clients, run) in found and (by, clients, run) in found
            ]
            if both:
                made.append(_ratio(service, by, clients, both))
    return made


def _ratio(service: str, by: str, clients: int, both: Sequence[tuple[Measurement, Measurement]]) -> Ratio:
    def spread(of: Callable[[Measurement], float]) -> Spread:
        return Spread.of([of(ours) / of(other) for ours, other in both])

    return Ratio(
        service=service,
        by=by,
        clients=clients,
        tokens_per_second=spread(lambda each: each.tokens_per_second),
        first_token_p50=spread(lambda each: each.first_token_p50),
        disturbed=sum(ours.disturbed or other.disturbed for ours, other in both),
    )


def table(found: Sequence[Ratio]) -> Table:
    """For people as text, for programs as numbers."""
    return Table(
        title="ratios of the same run, median of the runs: above 1 more tokens/s, below 1 an earlier first token",
        columns=COLUMNS,
        rows=[_row(each) for each in found],
        values=[asdict(each) for each in found],
    )


def _row(ratio: Ratio) -> Row:
    return (
        f"{ratio.service} / {ratio.by}",
        str(ratio.clients),
        ratio.tokens_per_second.text(),
        ratio.first_token_p50.text(),
        str(ratio.tokens_per_second.runs),
        str(ratio.disturbed),
    )
