"""A real engine process that hangs where nothing of Python can run any more, and one that has nobody left."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest
import pytest_asyncio

from serving.engines.process.engine_process import EngineProcess
from serving.engines.process.silence import Patience
from serving.engines.protocol import Adapter, EngineUnavailable
from tests.serving.engines.driving import request
from tests.serving.engines.test_engine_process import ENDLESS, PARENT, alive, options, tokens_of, until
from tests.serving.engines.tiny_models import prompt
from tests.waiting import eventually

HANG = signal.SIGUSR2
HANGS = f"""
import ctypes, signal
# PyDLL keeps the interpreter's lock while C code runs: no other thread of the process runs either
signal.signal({int(HANG)}, lambda *_: ctypes.PyDLL(None).sleep(600))
"""
LIMIT = 2.0

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def hanging(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory for PYTHONPATH: a process of Python that is sent HANG hangs for ever, with the lock in its hands."""
    directory = tmp_path_factory.mktemp("hanging")
    (directory / "sitecustomize.py").write_text(HANGS)
    return directory


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(poisoned_dir: Path, hanging: Path) -> AsyncIterator[EngineProcess]:
    engine = EngineProcess(options(poisoned_dir), patience=Patience(least_seconds=LIMIT, warmups=0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(hanging))
        await engine.start()
        yield engine
        await engine.stop()


def pid_of(engine: EngineProcess) -> int:
    pid = engine.health().pid
    assert pid is not None
    return pid


@pytest.mark.asyncio(loop_scope="module")
async def test_an_engine_that_hangs_in_a_step_is_ended_and_started_again(
    engine: EngineProcess, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pid, restarts = pid_of(engine), engine.stats().restarts
    with caplog.at_level(logging.ERROR):
        async with aclosing(engine.generate(request("in flight", prompt(5), ENDLESS))) as chunks:
            await anext(chunks)
            begin = time.monotonic()
            os.kill(pid, HANG)
            loading = asyncio.create_task(engine.load_adapter(Adapter(id="any", path=tmp_path)))
            with pytest.raises(EngineUnavailable, match="said nothing for 2 s while it had work, and was killed"):
                async for _ in chunks:
                    pass
    with pytest.raises(EngineUnavailable, match="said nothing"):
        await loading
    assert LIMIT <= time.monotonic() - begin < LIMIT + 10
    health = engine.health()
    assert (health.status, health.reason) == ("restarting", "EngineRestarting")
    assert f"(pid {pid}) has said nothing for 2 s" in health.message, "/ready does not name the cause"
    assert "has said nothing for 2 s" in caplog.text
    with pytest.raises(EngineUnavailable, match="said nothing"):
        await tokens_of(engine, request("too early", prompt(5)))

    await until(lambda: engine.health().status == "ready")
    assert not alive(pid)
    assert len(await tokens_of(engine, request("after", prompt(5), 7))) == 7
    assert engine.stats().restarts == restarts + 1


@pytest.mark.asyncio(loop_scope="module")
async def test_clients_that_leave_do_not_hide_that_it_hangs(engine: EngineProcess) -> None:
    pid = pid_of(engine)
    os.kill(pid, HANG)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(tokens_of(engine, request("impatient", prompt(5))), LIMIT / 4)
    await until(lambda: not alive(pid))
    await until(lambda: engine.health().status == "ready")


@pytest.mark.asyncio(loop_scope="module")
async def test_an_idle_engine_is_not_suspected(engine: EngineProcess) -> None:
    pid = pid_of(engine)
    await asyncio.sleep(2 * LIMIT)
    assert len(await tokens_of(engine, request("late", prompt(5), 7))) == 7
    assert pid_of(engine) == pid


def test_the_engine_dies_with_its_parent_even_if_it_hangs(
    poisoned_dir: Path, hanging: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(hanging), *sys.path)))
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(poisoned_dir)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        maps = Path(f"/proc/{pid}/maps")
        while "libtorch" not in maps.read_text():
            time.sleep(0.05)
        os.kill(pid, HANG)
        time.sleep(0.5)
        assert alive(pid)
        parent.kill()
        parent.wait()
    try:
        eventually(lambda: not alive(pid), 10, "an engine without a replica ends: it holds memory")
    finally:
        if alive(pid):
            os.kill(pid, signal.SIGKILL)


def test_the_engine_outlives_the_thread_that_has_started_it(poisoned_dir: Path) -> None:
    """The kernel takes a thread for the parent, and an event loop may run in one that ends."""
    engine = EngineProcess(options(poisoned_dir))
    loop = asyncio.new_event_loop()
    try:
        thread = threading.Thread(target=loop.run_until_complete, args=(engine.start(),))
        thread.start()
        thread.join()
        time.sleep(0.5)
        assert alive(pid_of(engine))
    finally:
        loop.run_until_complete(engine.stop())
        loop.close()
