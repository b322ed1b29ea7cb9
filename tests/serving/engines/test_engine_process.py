"""The engine as the API sees it: a real process, killed, overloaded, drained and stopped."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from presets.serve_config import EngineArgs
from serving.engines.process.engine_process import EngineProcess
from serving.engines.process.messages import LaunchOptions
from serving.engines.process.restarts import RestartPolicy
from serving.engines.protocol import (
    Adapter,
    AdapterRefused,
    AdapterUse,
    EngineOverloaded,
    EngineUnavailable,
    GenerationRequest,
    RequestFailed,
    Sampling,
    TokenLogprobs,
)
from serving.errors import StartupFailure
from tests.serving.engines.conftest import BuildEngine
from tests.serving.engines.driving import request, run
from tests.serving.engines.tiny_adapters import AdaptedReference, as_adapter, make_adapter
from tests.serving.engines.tiny_models import CONTEXT, POISON, prompt
from tests.waiting import eventually

SEQUENCES = 2
ENDLESS = CONTEXT
"""More tokens than any test waits for."""

pytestmark = pytest.mark.slow


def options(model_dir: Path, max_context: int = CONTEXT) -> LaunchOptions:
    args = EngineArgs(dtype="float32", max_context=max_context, max_sequences=SEQUENCES, threads=1)
    return LaunchOptions(name="tiny", model_dir=model_dir, trust_remote_code=False, engine=args)


@dataclass(frozen=True)
class Engines:
    shared: EngineProcess
    """For tests that leave it as they found it."""
    drained: EngineProcess
    """For one test each."""
    doomed: EngineProcess


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engines(poisoned_dir: Path) -> AsyncIterator[Engines]:
    """All of this module's processes, started side by side: importing torch is most of each one's start."""
    launch = options(poisoned_dir)
    all_engines = Engines(EngineProcess(launch), EngineProcess(launch), EngineProcess(launch, RestartPolicy(limit=0)))
    each = (all_engines.shared, all_engines.drained, all_engines.doomed)
    await asyncio.gather(*(engine.start() for engine in each))
    yield all_engines
    await asyncio.gather(*(engine.stop() for engine in each))


@pytest.fixture(scope="module")
def engine(engines: Engines) -> EngineProcess:
    return engines.shared


async def tokens_of(engine: EngineProcess, one: GenerationRequest) -> tuple[int, ...]:
    return tuple([token async for chunk in engine.generate(one) for token in chunk.token_ids])


async def until(condition: Callable[[], bool], seconds: float = 180) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


async def first_chunk(engine: EngineProcess, one: GenerationRequest) -> None:
    """Start a request, take its first tokens, and leave it."""
    async with aclosing(engine.generate(one)) as chunks:
        await anext(chunks)


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.asyncio(loop_scope="module")
async def test_requests_at_once_get_what_each_would_get_alone(
    engine: EngineProcess, build: BuildEngine, poisoned_dir: Path
) -> None:
    lengths = (3, 90, 12, 40)
    expected = [run(build(model_dir=poisoned_dir), request("a", prompt(n))).tokens["a"] for n in lengths]
    answers = await asyncio.gather(*(tokens_of(engine, request("same id", prompt(n))) for n in lengths))
    assert answers == expected


@pytest.mark.asyncio(loop_scope="module")
async def test_a_slow_consumer_gets_the_log_probability_of_every_token(
    engine: EngineProcess, build: BuildEngine, poisoned_dir: Path
) -> None:
    asking = request("a", prompt(12), sampling=Sampling(seed=1, repetition_penalty=1.2, min_p=0.01), logprobs=3)
    expected = run(build(model_dir=poisoned_dir), asking)
    tokens: list[int] = []
    told: list[TokenLogprobs] = []
    async with aclosing(engine.generate(asking)) as chunks:
        async for chunk in chunks:
            tokens += chunk.token_ids
            told += chunk.logprobs
            await asyncio.sleep(0.02)
    assert tuple(tokens) == expected.tokens["a"]
    assert tuple(told) == expected.logprobs["a"]


@pytest.mark.asyncio(loop_scope="module")
async def test_health_names_the_process_and_the_phases_of_its_start(engine: EngineProcess) -> None:
    health = engine.health()
    assert (health.status, health.reason) == ("ready", "")
    assert health.phases.keys() == {"process", "load", "warmup"}
    assert all(seconds > 0 for seconds in health.phases.values())
    assert health.pid is not None
    command = psutil.Process(health.pid).cmdline()
    assert "serving.engines.process" in command
    assert '"name":"tiny"' in command[3]
    environment = psutil.Process(health.pid).environ()
    assert environment["HF_HUB_OFFLINE"] == "1"
    assert int(environment["GOMP_SPINCOUNT"]) < 10_000, "threads that spin for long starve the replica on few cores"


@pytest.mark.asyncio(loop_scope="module")
async def test_a_consumer_that_leaves_frees_its_slot(engine: EngineProcess) -> None:
    await first_chunk(engine, request("closed", prompt(5), ENDLESS))
    await until(lambda: engine.stats().running == 0)

    task = asyncio.create_task(tokens_of(engine, request("cancelled", prompt(5), ENDLESS)))
    await until(lambda: engine.stats().running == 1)
    task.cancel()
    await until(lambda: engine.stats().running == 0)
    assert engine.stats().waiting == 0


@pytest.mark.asyncio(loop_scope="module")
async def test_a_waiting_request_can_be_cancelled(engine: EngineProcess) -> None:
    tasks = [asyncio.create_task(tokens_of(engine, request(str(n), prompt(5), ENDLESS))) for n in range(SEQUENCES + 1)]
    await until(lambda: (engine.stats().running, engine.stats().waiting) == (SEQUENCES, 1))
    tasks[-1].cancel()
    await until(lambda: engine.stats().waiting == 0)
    assert engine.stats().running == SEQUENCES
    for task in tasks:
        task.cancel()
    await until(lambda: engine.stats().running == 0)


@pytest.mark.asyncio(loop_scope="module")
async def test_more_waiting_requests_than_allowed_are_refused(engine: EngineProcess) -> None:
    engine.set_max_waiting(1)
    tasks = [asyncio.create_task(tokens_of(engine, request(str(n), prompt(5), ENDLESS))) for n in range(SEQUENCES + 1)]
    try:
        await until(lambda: engine.stats().running + engine.stats().waiting == SEQUENCES + 1)
        with pytest.raises(EngineOverloaded, match="2 requests run and 1 wait"):
            await first_chunk(engine, request("one too many", prompt(5)))
        engine.set_max_waiting(2)
        over = asyncio.create_task(tokens_of(engine, request("now allowed", prompt(5))))
        await until(lambda: engine.stats().waiting == 2)
        over.cancel()
    finally:
        for task in tasks:
            task.cancel()
        engine.set_max_waiting(256)
    await until(lambda: engine.stats().running == 0)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_failed_request_fails_alone(engine: EngineProcess) -> None:
    good = asyncio.create_task(tokens_of(engine, request("good", prompt(5), 200)))
    with pytest.raises(RequestFailed, match="no finite probabilities"):
        await tokens_of(engine, request("poisoned", (3, POISON)))
    with pytest.raises(RequestFailed, match="with a completion at most"):
        await tokens_of(engine, request("too long", prompt(CONTEXT)))
    assert len(await good) == 200
    assert engine.health().status == "ready"


@pytest.mark.asyncio(loop_scope="module")
async def test_adapters_come_and_go_and_outlive_the_process(
    engine: EngineProcess, poisoned_dir: Path, tmp_path: Path
) -> None:
    paths = [make_adapter(poisoned_dir, tmp_path / name, seed=seed) for seed, name in enumerate(("one", "two"))]
    expected = [AdaptedReference(poisoned_dir, path).generate(prompt(9), 8) for path in paths]
    asked = [replace(request(path.name, prompt(9), 8), adapter=AdapterUse(id=path.name)) for path in paths]
    base = await tokens_of(engine, request("base", prompt(9), 8))
    assert len({base, *expected}) == 3

    running = asyncio.create_task(tokens_of(engine, request("running", prompt(5), 300)))
    await asyncio.gather(*(engine.load_adapter(as_adapter(path)) for path in (*paths, paths[0])))
    assert await asyncio.gather(*(tokens_of(engine, one) for one in asked)) == expected
    with pytest.raises(AdapterRefused, match=r"adapter_config\.json is not there"):
        await engine.load_adapter(Adapter(id="three", path=tmp_path / "three"))
    assert len(await running) == 300

    await engine.unload_adapter("two")
    await engine.unload_adapter("never loaded")
    with pytest.raises(RequestFailed, match="two is not loaded"):
        await tokens_of(engine, asked[1])

    gone, lost = (Path(shutil.copytree(paths[1], tmp_path / name)) for name in ("gone", "lost"))
    await asyncio.gather(*(engine.load_adapter(as_adapter(path)) for path in (gone, lost)))
    shutil.rmtree(lost)
    pid = engine.health().pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    await until(lambda: engine.health().status == "restarting")
    with pytest.raises(EngineUnavailable, match="restarting"):
        await engine.load_adapter(as_adapter(paths[1]))
    await engine.unload_adapter("gone")
    shutil.rmtree(gone)
    await until(lambda: engine.health().status == "ready")
    assert await tokens_of(engine, asked[0]) == expected[0], "the new process has the adapters of the old one"
    for name in ("two", "gone", "lost"):
        with pytest.raises(RequestFailed, match=f"{name} is not loaded"):
            await tokens_of(engine, replace(asked[0], adapter=AdapterUse(id=name)))
    await engine.unload_adapter("one")
    await engine.unload_adapter("lost")


@pytest.mark.asyncio(loop_scope="module")
async def test_a_killed_engine_heals(engine: EngineProcess) -> None:
    old, restarts = engine.health().pid, engine.stats().restarts
    assert old is not None
    chunks = engine.generate(request("in flight", prompt(5), ENDLESS))
    await anext(chunks)
    os.kill(old, signal.SIGKILL)
    with pytest.raises(EngineUnavailable, match=r"SIGKILL .* while it answered") as caught:
        async for _ in chunks:
            pass
    assert 0 < caught.value.retry_after <= 120

    health = engine.health()
    assert (health.status, health.reason) == ("restarting", "EngineRestarting")
    assert f"pid {old}" in health.message
    assert "SIGKILL" in health.message
    with pytest.raises(EngineUnavailable, match="the engine is restarting"):
        await tokens_of(engine, request("too early", prompt(5)))

    await until(lambda: engine.health().status == "ready")
    assert len(await tokens_of(engine, request("after", prompt(5), 7))) == 7
    assert engine.health().pid != old
    assert engine.stats().restarts == restarts + 1


@pytest.mark.asyncio(loop_scope="module")
async def test_an_engine_that_is_drained_finishes_and_one_that_is_stopped_is_gone(engines: Engines) -> None:
    engine = engines.drained
    pid = engine.health().pid
    assert pid is not None
    running = asyncio.create_task(tokens_of(engine, request("running", prompt(5), 300)))
    await until(lambda: engine.stats().running == 1)
    draining = asyncio.create_task(engine.drain(60))
    await until(lambda: engine.health().status == "draining")
    with pytest.raises(EngineUnavailable, match="draining"):
        await tokens_of(engine, request("late", prompt(5)))
    await draining
    assert len(await running) == 300

    begin = time.monotonic()
    await engine.drain(60)
    assert time.monotonic() - begin < 1, "nothing is in flight"
    await engine.stop()
    assert not alive(pid)
    assert engine.health().status == "stopped"
    await engine.stop()


@pytest.mark.asyncio(loop_scope="module")
async def test_an_engine_that_dies_too_often_stays_down(engines: Engines) -> None:
    engine = engines.doomed
    pid = engine.health().pid
    assert pid is not None
    os.kill(pid, signal.SIGTERM)
    await until(lambda: engine.health().status == "failed")
    health = engine.health()
    assert health.reason == "EngineDied"
    assert "SIGTERM" in health.message
    assert health.pid is None
    with pytest.raises(EngineUnavailable, match="the engine is failed"):
        await tokens_of(engine, request("too late", prompt(5)))


@pytest.mark.asyncio(loop_scope="module")
async def test_what_prevents_the_start_is_told_and_nothing_is_left(poisoned_dir: Path) -> None:
    engine = EngineProcess(options(poisoned_dir, max_context=CONTEXT + 1))
    with pytest.raises(StartupFailure, match=f"set max_context to at most {CONTEXT}") as caught:
        await engine.start()
    assert caught.value.reason == "ContextTooLong"
    assert engine.health().status == "failed"
    assert engine.health().reason == "ContextTooLong"
    assert engine.health().pid is None


PARENT = """
import asyncio, sys
from pathlib import Path
from presets.serve_config import EngineArgs
from serving.engines.build import build_engine

async def main():
    args = EngineArgs(dtype="float32", max_context=64, max_sequences=2, threads=1)
    engine = build_engine(args, Path(sys.argv[1]), False)
    starting = asyncio.create_task(engine.start())
    while engine.health().pid is None:
        await asyncio.sleep(0.01)
    print(engine.health().pid, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


def test_the_engine_dies_with_the_process_that_started_it(poisoned_dir: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(poisoned_dir)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert alive(pid)
        parent.kill()
        parent.wait()
    eventually(lambda: not alive(pid), 10, "the engine ends with its parent")


@pytest.mark.asyncio(loop_scope="module")
async def test_an_error_of_the_supervisor_itself_fails_requests_instead_of_leaving_them_waiting(
    poisoned_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = EngineProcess(options(poisoned_dir))
    await engine.start()
    try:

        def stumble(_report: object) -> None:
            raise RuntimeError("stumbled")

        monkeypatch.setattr(engine, "_dispatch", stumble)
        with pytest.raises(EngineUnavailable, match="stumbled"):
            await tokens_of(engine, request("a", prompt(3)))
        assert engine.health().status == "failed", "Ray Serve would keep a replica that answers nothing"
    finally:
        await engine.stop()
