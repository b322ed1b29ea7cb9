"""Whether memory stays flat: minutes of mixed requests, and what every kind of process has in memory meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import random
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks import client, modelyard, prompts, random_adapters
from benchmarks.comparison import weights_directory
from benchmarks.console import console
from benchmarks.environment import Environment
from benchmarks.errors import ServiceFailed
from benchmarks.report import Report, Row
from benchmarks.service import Service, Target

NAME = "soak"
COLUMNS: Row = ("", "at first", "at last", "most", "change")
ADAPTERS = 4
CLIENTS = 8

_SLOTS = 32
"""Sequences that the engine computes at once, and whose part of the cache the warm-up fills."""
_WARM_UP_TOKENS = 128
"""More than any request afterwards asks for, so that the cache's pages have all been touched before."""
_MOST_TOKENS = 96
_LONG_EVERY = 12
_LEAVE_EVERY = 5
_SAMPLE_SECONDS = 5.0
_PAUSE_SECONDS = 1.0
"""After a request that failed: a service that is gone refuses thousands a second."""
_KINDS = {"engine": "serving.engines.process", "replica": "ServeReplica", "proxy": "ProxyActor"}
_OTHERS = "the rest of Ray"
_SCHEMA = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 20}}, "required": ["name"]}


@dataclass(frozen=True, kw_only=True)
class Options:
    """How long."""

    minutes: float = 10


QUICK = Options(minutes=0.5)


@dataclass
class Soaked:
    """What became of the requests, and what the processes had in memory (MiB, resident), by kind."""

    answered: int = 0
    left: int = 0
    """Streams that their client gave up on purpose."""
    failures: list[str] = field(default_factory=list)
    memory: list[dict[str, float]] = field(default_factory=list)
    """One entry for each sample, in order."""


def run(options: Options, environment: Environment) -> Report:
    """Measure. Raises ServiceFailed if nothing was answered."""
    with tempfile.TemporaryDirectory(prefix="modelyard-adapters-") as folder:
        adapters = random_adapters.make(weights_directory(), Path(folder), ADAPTERS)
        with modelyard.running(adapters) as service:
            with console.step("filling the cache", usual="one to three minutes"):
                asked = [[prompts.long_prompt(prompts.WARM_UP + number)] for number in range(_SLOTS)]
                client.load(service.base_url, service.models, asked, _WARM_UP_TOKENS)
            with console.step(f"soaking with {CLIENTS} clients", usual=f"{options.minutes:g} minutes"):
                soaked = asyncio.run(_soak(service, options.minutes * 60))
    if not soaked.answered:
        raise ServiceFailed(f"no request was answered: {soaked.failures[0] if soaked.failures else 'none was asked'}")
    return report(options, environment, soaked)


async def _soak(service: Service, seconds: float) -> Soaked:
    soaked = Soaked()
    end = time.monotonic() + seconds
    async with client.connection(CLIENTS) as connection, asyncio.TaskGroup() as group:
        group.create_task(_sample(service.processes, end, soaked))
        for number in range(CLIENTS):
            group.create_task(_ask_on(connection, service, random.Random(number), end, soaked))
    return soaked


async def _sample(processes: Sequence[psutil.Process], end: float, soaked: Soaked) -> None:
    while time.monotonic() < end:
        soaked.memory.append(resident(processes))
        await asyncio.sleep(_SAMPLE_SECONDS)


def resident(processes: Sequence[psutil.Process]) -> dict[str, float]:
    """MiB by kind of process. Pages that are shared count in each process; their number hardly changes."""
    found: dict[str, float] = {}
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            command = " ".join(process.cmdline())
            kind = next((kind for kind, mark in _KINDS.items() if mark in command), _OTHERS)
            found[kind] = found.get(kind, 0.0) + process.memory_info().rss / 1024**2
    return found


async def _ask_on(
    connection: httpx.AsyncClient, service: Service, numbers: random.Random, end: float, soaked: Soaked
) -> None:
    while time.monotonic() < end:
        body = request(service.models, numbers)
        leaves = numbers.randrange(_LEAVE_EVERY) == 0
        try:
            if await _ask(connection, service.base_url, body, leaves=leaves):
                soaked.answered += 1
            else:
                soaked.left += 1
        except (httpx.HTTPError, ServiceFailed) as error:
            soaked.failures.append(f"{type(error).__name__}: {error}")
            await asyncio.sleep(_PAUSE_SECONDS)


def request(models: Sequence[Target], numbers: random.Random) -> dict[str, Any]:
    """One of many kinds: with and without an adapter, short and long, greedy and drawn, text and JSON."""
    number = numbers.randrange(prompts.WARM_UP)
    is_long = numbers.randrange(_LONG_EVERY) == 0
    body: dict[str, Any] = {
        **numbers.choice(models),
        "messages": [{"role": "user", "content": (prompts.long_prompt if is_long else prompts.prompt)(number)}],
        "max_tokens": numbers.randint(1, _MOST_TOKENS),
        "temperature": numbers.choice((0, 0.7, 1)),
        "stream": True,
    }
    kind = numbers.randrange(6)
    if kind == 0:
        body["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": _SCHEMA}}
    elif kind == 1:
        body |= {"logprobs": True, "top_logprobs": 3, "frequency_penalty": 0.5}
    elif kind == 2:
        body |= {"top_p": 0.9, "seed": number}
    return body


async def _ask(connection: httpx.AsyncClient, base_url: str, body: Mapping[str, Any], *, leaves: bool) -> bool:
    """Whether the answer came to its end; it does not where the client leaves with the first bytes."""
    rest = b""
    async with client.answering(connection, base_url, body) as response:
        async for data in response.aiter_raw():
            if leaves:
                return False
            rest = (rest + data)[-200:]
    if b"data: [DONE]" not in rest or b'"error"' in rest:
        raise ServiceFailed(f"a stream ended with {rest[-100:]!r}")
    return True


def report(options: Options, environment: Environment, soaked: Soaked) -> Report:
    """Compares the medians of the first and of the last tenth of the time."""
    tenth = max(1, len(soaked.memory) // 10)
    rows: list[Row] = []
    gone = [kind for kind in _KINDS if kind in soaked.memory[0] and kind not in soaked.memory[-1]]
    for kind in (*_KINDS, _OTHERS):
        samples = [sample.get(kind, 0.0) for sample in soaked.memory]
        first, last = statistics.median(samples[:tenth]), statistics.median(samples[-tenth:])
        change = f"{100 * (last - first) / first:+.1f} %" if first else "-"
        rows.append((kind, f"{first:.0f} MiB", f"{last:.0f} MiB", f"{max(samples):.0f} MiB", change))
    return Report(
        name=NAME,
        title=f"memory of {modelyard.PRESET} with {ADAPTERS} adapters, {CLIENTS} clients, {options.minutes:g} minutes",
        environment=environment,
        columns=COLUMNS,
        rows=rows,
        notes=[
            f"{soaked.answered} requests were answered whole, {soaked.left} given up by their client, "
            f"{len(soaked.failures)} failed",
            *([f"the first that failed: {soaked.failures[0]}"] if soaked.failures else []),
            *(f"the process of the {kind} ended meanwhile; the one after it was not measured" for kind in gone),
        ],
        parameters={**asdict(options), "clients": CLIENTS, "adapters": ADAPTERS, "preset": modelyard.PRESET},
        runs=[asdict(soaked)],
    )
