"""Tokens per second, time to first token and gaps between tokens, beside peers on the same weights and prompts."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from benchmarks import measurement, modelyard, peers, ratios
from benchmarks.comparison import Comparison, Options, weights_directory
from benchmarks.cpu import QUIET_CORES
from benchmarks.environment import Environment
from benchmarks.errors import ServiceFailed
from benchmarks.measurement import Measurement
from benchmarks.ratios import Pair
from benchmarks.report import Report
from benchmarks.service import MODELYARD

NAME = "serving_load"


def run(options: Options, environment: Environment) -> Report:
    """Measure. Raises ServiceFailed where Modelyard itself cannot be measured."""
    comparison = Comparison(options)
    with contextlib.ExitStack() as stack:
        # The yard comes first: it brings the weights.
        comparison.start(stack, MODELYARD, modelyard.running())
        if MODELYARD not in comparison.problems:
            weights = weights_directory()
            for name in options.peers:
                peer = peers.PEERS[name]
                comparison.start(stack, peer.name, peer.start(weights, ()))
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
    pairs: Sequence[Pair] | None = None,
    notes: Sequence[str] = (),
    parameters: Mapping[str, object] | None = None,
) -> Report:
    """The tables of a load. `what` was under it; `parameters` are those that not every load has.

    pairs: whose ratios there are; Modelyard's to each peer's if none are given.
    """
    counted = "1 run" if options.runs == 1 else f"{options.runs} runs"
    chosen = {id(each) for each in measurement.counting(measurements)}
    # Half a service's runs would look like all of them.
    whole = [each for each in measurements if each.service not in problems]
    if pairs is None:
        pairs = [(MODELYARD, peers.PEERS[peer].name) for peer in options.peers]
    found = ratios.ratios(whole, pairs)
    empty = ("-",) * (len(measurement.COLUMNS) - 1)
    return Report(
        name=name,
        title=f"{what}, {options.tokens} new tokens an answer, temperature 0, {counted}",
        environment=environment,
        columns=measurement.COLUMNS,
        rows=[*measurement.rows(whole), *((service, *empty) for service in problems)],
        tables=[ratios.table(found)] if found else [],
        notes=[
            *(f"{service} could not be measured: {problem}" for service, problem in problems.items()),
            *notes,
            *measurement.notes(measurements),
        ],
        parameters={
            **asdict(options),
            "quiet_cores": QUIET_CORES,
            "preset": modelyard.PRESET,
            **peers.parameters(options.peers),
            **(parameters or {}),
        },
        runs=[asdict(each) | {"counts": id(each) in chosen} for each in measurements],
    )
