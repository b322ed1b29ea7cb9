"""What is killed heals by itself, or with the next `pulumi up`; status says meanwhile what is going on."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import NamedTuple

import httpx
import psutil
import pytest

from components.reconciliation import ports, processes
from components.reconciliation.local_ray import DASHBOARD_PORT, SERVE_PORT
from tests.stack.conftest import CHAT
from tests.stack.yard import CAPITAL, PROJECT, STACK, Yard, workspace
from tests.waiting import eventually

pytestmark = pytest.mark.stack

HEALS_WITHIN = 60
"""Seconds."""


def answers(yard: Yard) -> bool:
    answer = yard.client(CHAT).chat.completions.create(
        model=CHAT, messages=[{"role": "user", "content": CAPITAL}], temperature=0, max_tokens=24
    )
    return "Paris" in (answer.choices[0].message.content or "")


def test_a_killed_engine_heals_by_itself_and_status_says_so(yard: Yard) -> None:
    engine, replica = yard.engine_pid(CHAT), yard.replica_pid(CHAT)
    os.kill(engine, signal.SIGKILL)
    eventually(lambda: yard.ready(CHAT).get("status") == "restarting", 10, "the service reports the restart")
    status = yard.status()
    assert "EngineRestarting" in status, status
    eventually(lambda: yard.ready(CHAT).get("status") == "ready", HEALS_WITHIN, "the engine is back")
    assert yard.engine_pid(CHAT) != engine
    assert yard.replica_pid(CHAT) == replica, "the replica need not go for its engine"
    assert answers(yard)


def test_a_killed_replica_heals_by_itself(yard: Yard) -> None:
    engine, replica = yard.engine_pid(CHAT), yard.replica_pid(CHAT)
    os.kill(replica, signal.SIGKILL)
    eventually(lambda: CHAT in yard.status() and "InferenceReady is False" in yard.status(), 30, "status tells of it")
    eventually(lambda: not psutil.pid_exists(engine), 15, "the engine ends with its replica")
    eventually(lambda: yard.ready(CHAT).get("engine_pid") not in (None, engine), HEALS_WITHIN, "a new replica answers")
    assert answers(yard)
    assert "ReplicasStarting" not in yard.status()


def test_a_killed_ray_is_brought_back_by_up_refresh_at_the_same_address(yard: Yard) -> None:
    endpoint = yard.endpoint(CHAT)
    [head] = [process for process in yard.processes() if "gcs_server" in process.name()]
    head.kill()
    eventually(yard.ray.problem, 30, "the loss of Ray is noticed")
    status = yard.status()
    assert "RayUnreachable" in status, status
    assert "make up" in status, "the way out is missing"
    yard.up(refresh=True)
    assert yard.conditions(CHAT)["WorkspaceReady"] == "True"
    assert yard.endpoint(CHAT) == endpoint
    assert answers(yard)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["kill -9", "Ctrl-C"])
def test_an_interrupted_up_is_finished_by_the_next(yard: Yard, how: signal.Signals) -> None:
    yard.configure(workspace(CHAT), workspace("late"))
    update = yard.start("up")
    eventually(lambda: "late" in yard.applications(), 60, "the application is sent to Ray")
    interrupt(update, how)
    yard.run("pulumi", "cancel", "--yes", "--stack", STACK)
    yard.up(refresh=True)
    assert yard.conditions("late")["WorkspaceReady"] == "True"
    assert yard.client("late").models.retrieve("late").id == "late"
    yard.up(workspace(CHAT))
    assert list(yard.applications()) == [CHAT]


def interrupt(update: subprocess.Popen[bytes], how: signal.Signals) -> None:
    """Twice where it is Ctrl-C: the first lets running steps end, the second does not wait for them.

    Whatever still acts on Ray must be gone then. The program itself only waits for its engine, and is ended here as
    `make up` would end it.
    """
    children = psutil.Process(update.pid).children(recursive=True)
    providers = [child for child in children if "pulumi.dynamic" in child.cmdline()]
    assert providers, "no provider is running, so nothing is interrupted"
    for _ in range(2):
        if update.poll() is None:
            update.send_signal(how)
            time.sleep(1)
    update.wait(timeout=60)
    _, alive = psutil.wait_procs(providers, timeout=10)
    for child in children:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
    assert not alive, f"still at work after pulumi has gone: {alive}"


class Foreign(NamedTuple):
    pid: int
    dashboard: int
    http: int


def start(*command: str, env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, env=env, stdout=quiet, stderr=quiet, start_new_session=True)


@pytest.fixture
def foreign() -> Iterator[Foreign]:
    """Somebody else's Ray and web server, on the ports that ours would have taken."""
    dashboard = ports.choose(None, (None, DASHBOARD_PORT), "", ours=set(), taken=set())
    http = ports.choose(None, (None, SERVE_PORT), "", ours=set(), taken=set())
    ray = str(PROJECT / ".venv-serving" / "bin" / "ray")
    # Not pytest's own folder for the test: Ray's socket paths would be too long in it.
    folder = tempfile.mkdtemp(prefix="foreign-")
    options = ["--head", "--block", f"--node-ip-address={ports.LOOPBACK}", f"--temp-dir={folder}"]
    options += [f"--port={ports.any_free(1)[0]}", f"--dashboard-port={dashboard}", "--object-store-memory=100000000"]
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
    head = start(ray, "start", *options, env=environment)
    server = start(sys.executable, "-m", "http.server", "--bind", ports.LOOPBACK, str(http))
    try:
        eventually(lambda: not ports.is_free(dashboard) and not ports.is_free(http), 60, "the others' ports are taken")
        yield Foreign(head.pid, dashboard, http)
        assert head.poll() is None, "another's Ray was ended"
        assert server.poll() is None, "another's server was ended"
        assert httpx.get(f"http://{ports.LOOPBACK}:{dashboard}/api/version").is_success
    finally:
        server.kill()
        server.wait()
        head.terminate()
        head.wait(timeout=30)
        shutil.rmtree(folder, ignore_errors=True)


def test_destroy_leaves_nothing_and_touches_nothing_foreign(foreign: Foreign, idle_yard: Yard) -> None:
    yard = idle_yard
    yard.up(workspace(CHAT))
    record = yard.record
    assert record.serve_port != foreign.http, "another's port was taken for free"
    assert record.dashboard_port != foreign.dashboard, "another's port was taken for free"
    assert f":{record.serve_port}/" in yard.outputs()[CHAT]["endpoint"]
    family = yard.processes()
    assert len(family) > 10
    assert foreign.pid not in {process.pid for process in family}
    yard.pulumi("destroy").expect()
    assert not [process for process in family if processes.lives(process)]
    assert ports.is_free(record.serve_port)
    assert ports.is_free(record.dashboard_port)
    assert not os.path.exists(record.temp_dir)
    yard.pulumi("destroy").expect()
