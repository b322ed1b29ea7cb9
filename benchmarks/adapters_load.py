"""What adapters cost: one load without an adapter and with several of them in turn, beside peers that have any."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks import modelyard, random_adapters, serving_load
from benchmarks.comparison import Comparison, Options, weights_directory
from benchmarks.environment import Environment
from benchmarks.errors import ServiceFailed
from benchmarks.peers import PEERS
from benchmarks.random_adapters import RANK
from benchmarks.ratios import Pair
from benchmarks.report import Report
from benchmarks.service import MODELYARD, Service

NAME = "adapters_load"
COUNTS = (1, 4, 16, 100)
COMPARED = 4
"""The number that every service with adapters is measured with."""


def run(options: Options, environment: Environment) -> Report:
    """Measure. Raises BenchmarkFailed, and ServiceFailed where Modelyard itself cannot be measured."""
    chosen = [PEERS[name] for name in options.peers]
    with_adapters = [peer for peer in chosen if peer.adapters]
    comparison = Comparison(options)
    with tempfile.TemporaryDirectory(prefix="modelyard-adapters-") as folder, contextlib.ExitStack() as stack:
        weights = weights_directory()
        directories = random_adapters.make(weights, Path(folder), max(COUNTS))
        service = stack.enter_context(modelyard.running(directories))
        comparison.services += _in_turn(service, COUNTS)
        for peer in with_adapters:
            started = comparison.start(stack, peer.name, peer.start(weights, directories[: max(peer.adapters)]))
            if started is not None:
                comparison.services.remove(started)
                comparison.services += _in_turn(started, peer.adapters)
        comparison.measure()
    if own := [f"{name}: {problem}" for name, problem in comparison.problems.items() if name.startswith(MODELYARD)]:
        raise ServiceFailed("; ".join(own))
    return serving_load.report(
        options,
        environment,
        comparison.measurements,
        comparison.problems,
        name=NAME,
        what=f"{modelyard.PRESET} in bf16 with adapters of rank {RANK} on all linear layers, {max(COUNTS)} of them "
        "loaded",
        pairs=pairs([peer.name for peer in with_adapters]),
        notes=[f"{peer.name} is not measured here: it serves no adapters" for peer in chosen if not peer.adapters],
        parameters={"rank": RANK, "loaded": {peer.name: max(peer.adapters) for peer in with_adapters}},
    )


def variant(count: int) -> str:
    """How a service is called that is asked for so many adapters in turn.

    >>> variant(0), variant(1), variant(16)
    ('no adapter', '1 adapter', '16 adapters')
    """
    return "no adapter" if count == 0 else "1 adapter" if count == 1 else f"{count} adapters"


def pairs(peers: Sequence[str]) -> list[Pair]:
    """Each service with adapters beside itself without, then Modelyard beside the peers with the same adapters.

    >>> pairs([])
    [('modelyard, 4 adapters', 'modelyard, no adapter')]
    """
    with_some, without = f", {variant(COMPARED)}", f", {variant(0)}"
    own = [(f"{name}{with_some}", f"{name}{without}") for name in (MODELYARD, *peers)]
    return [*own, *((f"{MODELYARD}{with_some}", f"{peer}{with_some}") for peer in peers)]


def _in_turn(service: Service, counts: Sequence[int]) -> list[Service]:
    """The service without an adapter, and the same whose requests name so many adapters in turn.

    Its first target is the model itself.
    """
    plain = replace(service, variant=variant(0), models=service.models[:1])
    return [plain, *(replace(service, variant=variant(count), models=service.models[1:][:count]) for count in counts)]
