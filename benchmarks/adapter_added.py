"""How long it is until an added adapter answers: a config edit and `pulumi up` under four streams."""

from __future__ import annotations

import json
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx

from benchmarks import modelyard, random_adapters
from benchmarks.comparison import weights_directory
from benchmarks.console import console
from benchmarks.cpu import QUIET_CORES, CpuMeter, Patience
from benchmarks.environment import Environment
from benchmarks.errors import BenchmarkFailed
from benchmarks.figures import Spread
from benchmarks.repeats import Repeats
from benchmarks.report import Report, Row
from components.deployed_state import APPLICATION_TYPE
from tests.stack.load import Streams
from tests.stack.yard import Yard

NAME = "adapter_added"
STREAMS = 4
EVENTS = {"PULUMI_DEBUG_COMMANDS": "true"}
"""Without it pulumi has no --event-log."""

_POLL_SECONDS = 0.02
_ASK_SECONDS = 0.1
_LIMIT_SECONDS = 300

COLUMNS: Row = ("", "from pulumi up", "from the update", "pulumi up", "completed", "failed", "runs")


@dataclass(frozen=True, kw_only=True)
class Run:
    """One adapter that was added. All seconds are from the start of `pulumi up`."""

    run: int
    update_begun: float
    """The engine's event that the service's update begins: from here on the reconciliation works."""
    answered: float
    """The first whole answer of a request that names the adapter."""
    up_seconds: float
    """Until `pulumi up` ended."""
    completed: int
    """Streams that were answered whole meanwhile, and until all that were running then had ended."""
    failures: Sequence[str]
    """Streams that failed or were cut off."""
    strangers: float
    """Cores that other processes used meanwhile."""

    @property
    def seconds(self) -> float:
        """From the start of the reconciliation to the first answer."""
        return self.answered - self.update_begun


def run(options: Repeats, environment: Environment) -> Report:
    """Measure. Raises BenchmarkFailed with what pulumi said."""
    runs: list[Run] = []
    patience = Patience(options.wait_seconds)
    with tempfile.TemporaryDirectory(prefix="modelyard-adapters-") as folder, modelyard.temporary_yard(EVENTS) as yard:
        with console.step("pulumi up", usual="usually less than a minute"):
            modelyard.up(yard)
        # The first one is a warm-up: the engine makes room for adapters when it gets one.
        adapters = random_adapters.make(weights_directory(), Path(folder), options.runs + 1)
        for number, adapter in enumerate(adapters, start=-1):
            patience.wait({"ray": yard.processes()})
            found = _add(yard, number, adapter)
            console.say(
                f"{'warm-up' if number < 0 else f'run {number + 1} of {options.runs}'}: {found.seconds:.1f} s from the "
                f"update, {found.answered:.1f} s from pulumi up, {len(found.failures)} streams failed"
            )
            runs += [found] if number >= 0 else []
            modelyard.configure(yard)
            modelyard.up(yard)
    return report(options, environment, runs)


def _add(yard: Yard, number: int, adapter: Path) -> Run:
    events = yard.folder.parent / f"events-{number}.json"
    modelyard.configure(yard, [adapter])
    meter = CpuMeter({"ray": yard.processes()})
    with Streams(yard, modelyard.WORKSPACE, clients=STREAMS) as streams, ThreadPoolExecutor(2) as pool:
        streams.await_ends(STREAMS)
        done = threading.Event()
        begun = time.monotonic()
        update = pool.submit(update_begins, events, done)
        answer = pool.submit(_first_answer, yard.endpoint(modelyard.WORKSPACE), adapter.name, done)
        try:
            up_seconds = modelyard.up(yard, "--skip-preview", "--event-log", str(events))
        finally:
            done.set()
        update_begun, answered = update.result() - begun, answer.result() - begun
    use = meter.stop()
    return Run(
        run=number,
        update_begun=update_begun,
        answered=answered,
        up_seconds=up_seconds,
        completed=streams.completed,
        failures=streams.failures,
        strangers=use.strangers,
    )


def update_begins(events: Path, done: threading.Event) -> float:
    """The clock when the engine wrote that the service's update begins; its own timestamps are whole seconds.

    Raises BenchmarkFailed if `done` is set and there is no such event.
    """
    while True:
        over = done.is_set()
        if events.exists() and any(begins(line) for line in events.read_text(encoding="utf-8").splitlines()):
            return time.monotonic()
        if over:
            raise BenchmarkFailed("pulumi's events do not tell of an update of the service")
        time.sleep(_POLL_SECONDS)


def begins(line: str) -> bool:
    """Whether an event says that an update of the service begins; half a line says nothing yet."""
    try:
        metadata = json.loads(line).get("resourcePreEvent", {}).get("metadata", {})
    except ValueError:
        return False
    return metadata.get("type") == APPLICATION_TYPE and metadata.get("op") == "update"


def _first_answer(base_url: str, adapter: str, done: threading.Event) -> float:
    """The clock when a request that names the adapter was answered; until then it is a model that nobody knows."""
    body = {"model": adapter, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1, "temperature": 0}
    end = time.monotonic() + _LIMIT_SECONDS
    last = "nothing"
    with httpx.Client(timeout=60, trust_env=False) as client:
        while time.monotonic() < end:
            over = done.is_set()
            response = client.post(f"{base_url}/chat/completions", json=body)
            if response.is_success:
                return time.monotonic()
            last = f"{response.status_code}: {response.text[:200]}"
            if over:
                break
            time.sleep(_ASK_SECONDS)
    raise BenchmarkFailed(f"the adapter did not answer: {last}")


def report(options: Repeats, environment: Environment, runs: Sequence[Run]) -> Report:
    disturbed = [each for each in runs if each.strangers > QUIET_CORES]
    failures = [each for found in runs for each in found.failures]
    return Report(
        name=NAME,
        title=f"an adapter of rank {random_adapters.RANK} is added to {modelyard.PRESET} under {STREAMS} streams, "
        f"{len(runs)} {'run' if len(runs) == 1 else 'runs'}",
        environment=environment,
        columns=COLUMNS,
        rows=[
            (
                "to the first answer",
                Spread.of([each.answered for each in runs]).text("s"),
                Spread.of([each.seconds for each in runs]).text("s"),
                Spread.of([each.up_seconds for each in runs]).text("s"),
                str(sum(each.completed for each in runs)),
                str(len(failures)),
                str(len(runs)),
            )
        ],
        notes=[
            *([f"the first stream that failed: {failures[0]}"] if failures else []),
            *([f"{len(disturbed)} of {len(runs)} runs were disturbed by other processes"] if disturbed else []),
        ],
        parameters={**asdict(options), "streams": STREAMS, "quiet_cores": QUIET_CORES, "preset": modelyard.PRESET},
        runs=[asdict(each) | {"seconds": each.seconds} for each in runs],
    )
