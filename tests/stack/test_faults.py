"""What is killed heals by itself, or with the next `pulumi up`; status says meanwhile what is going on."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import psutil
import pytest

from components.reconciliation import ports
from tests.stack.conftest import CHAT
from tests.stack.waiting import eventually
from tests.stack.yard import CAPITAL, STACK, Yard, workspace

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


def interrupt(update: subprocess.Popen[str], how: signal.Signals) -> None:
    """Twice where it is Ctrl-C: the first lets running steps end, the second does not wait for them."""
    pulumi = psutil.Process(update.pid)
    children = pulumi.children(recursive=True)
    for _ in range(2):
        if update.poll() is None:
            update.send_signal(how)
            time.sleep(1)
    update.communicate(timeout=60)
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive, f"left behind by pulumi: {alive}"


def test_destroy_leaves_nothing_and_touches_nothing_foreign(idle_yard: Yard) -> None:
    yard = idle_yard
    foreign = subprocess.Popen(
        ["python3", "-m", "http.server", "--bind", ports.LOOPBACK, "8000"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        eventually(lambda: not ports.is_free(8000), 10, "port 8000 is taken")
        yard.up(workspace(CHAT))
        record = yard.record
        assert record.serve_port != 8000, "another's port was taken for free"
        assert f":{record.serve_port}/" in yard.outputs()[CHAT]["endpoint"]
        processes = yard.processes()
        assert len(processes) > 5
        yard.pulumi("destroy").expect()
        assert not [process for process in processes if process.is_running() and process.status() != "zombie"]
        assert ports.is_free(record.serve_port)
        assert ports.is_free(record.dashboard_port)
        assert not os.path.exists(record.temp_dir)
        assert foreign.poll() is None, "a process that is not ours was ended"
        yard.pulumi("destroy").expect()
    finally:
        foreign.terminate()
        foreign.wait()
