import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.toolchain.conftest import HERE
from toolchain import environment, recovery, stack_file, stacks
from toolchain.console import Console
from toolchain.errors import ToolchainError
from toolchain.layout import Layout

needs_pulumi = pytest.mark.skipif(
    shutil.which("pulumi") is None, reason="no pulumi on PATH; `make test-toolchain` brings one"
)

PROGRAM = """
import os, time
import pulumi
from pulumi.dynamic import CreateResult, Resource
from slow import Slow
class Thing(Resource):
    def __init__(self, name):
        super().__init__(Slow(), name, {})
Thing("thing")
"""
PROVIDER = """
import pathlib, time
from pulumi.dynamic import CreateResult, ResourceProvider
class Slow(ResourceProvider):
    def create(self, props):
        pathlib.Path("creating").touch()
        while pathlib.Path("slow").exists():
            time.sleep(0.05)
        return CreateResult("thing", {})
"""


@contextmanager
def running(argv: list[str], cwd: Path) -> Iterator[int]:
    process = subprocess.Popen(argv, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        # a process is started a moment before it bears its program's name
        while Path(f"/proc/{process.pid}/comm").read_text().strip() != Path(argv[0]).name[:15]:
            time.sleep(0.01)
        yield process.pid
    finally:
        process.kill()
        process.wait()


def dead_process() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def write_lock(layout: Layout, pid: int, host: str | None = None) -> Path:
    folder = layout.state / ".pulumi" / "locks" / "organization" / stack_file.project(layout.root) / "dev"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "6b7de45b-6045-49dd-9389-ce3128645372.json"
    content = {
        "pid": pid,
        "username": "ada",
        "hostname": host or socket.gethostname(),
        "timestamp": "2026-01-02T03:04:05.678Z",
    }
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def recover(layout: Layout, env: dict[str, str] | None = None) -> str:
    stream = io.StringIO()
    recovery.recover(layout.root, layout.state, "dev", env or {"PATH": "/nowhere"}, Console(stream))
    return stream.getvalue()


def pulumi_env(layout: Layout) -> dict[str, str]:
    additions = {**environment.QUIET, **environment.state(layout, {})}
    return environment.complete({"PATH": os.environ["PATH"], "HOME": str(layout.cache)}, additions)


def test_without_locks_nothing_is_run(layout: Layout) -> None:
    assert recover(layout) == ""


def test_a_lock_of_a_running_update_is_respected(layout: Layout, tmp_path: Path) -> None:
    shutil.copy("/bin/sleep", tmp_path / "pulumi")
    with running([str(tmp_path / "pulumi"), "60"], tmp_path) as pid:
        lock = write_lock(layout, pid)
        with pytest.raises(ToolchainError, match=rf"process {pid} \(ada@.*, since 2026-01-02T03:04:05\)") as caught:
            recover(layout)
    assert lock.exists()
    assert f"kill -INT {pid}" in caught.value.way_out


def test_a_lock_of_another_machine_is_respected(layout: Layout) -> None:
    lock = write_lock(layout, dead_process(), host="elsewhere")
    with pytest.raises(ToolchainError, match="ada@elsewhere") as caught:
        recover(layout)
    assert lock.exists()
    assert "pulumi cancel --stack dev" in caught.value.way_out


@needs_pulumi
@pytest.mark.stack
@pytest.mark.parametrize("content", ["dead", "reused", "half-written"])
def test_a_lock_without_a_living_holder_is_removed(layout: Layout, tmp_path: Path, content: str) -> None:
    (layout.root / "Pulumi.dev.yaml").write_text("config: {}\n", encoding="utf-8")
    env = pulumi_env(layout)
    stacks.prepare(layout, "dev", "preview", {}, env, Console(io.StringIO()))
    with running(["sleep", "60"], tmp_path) as somebody_else:
        lock = write_lock(layout, somebody_else if content == "reused" else dead_process())
        if content == "half-written":
            lock.write_text('{"pid": 1', encoding="utf-8")
        said = recover(layout, env)
    assert "Unlocked stack dev" in said
    assert not lock.exists()


def engine_helper(engine_port: int) -> list[str]:
    """A process with the command line of a dynamic provider."""
    return [sys.executable, "-c", "import time; time.sleep(60)", "pulumi.dynamic", f"127.0.0.1:{engine_port}"]


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="without /proc nothing is looked for")
def test_only_helpers_of_this_checkout_whose_engine_is_gone_are_orphans(layout: Layout, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as engine:
        alive = int(engine.getsockname()[1])
        dead = closed_port()
        with (
            running(engine_helper(dead), layout.root) as orphan,
            running(engine_helper(alive), layout.root),
            running(engine_helper(dead), tmp_path),
            running(["sleep", "60"], layout.root),
        ):
            time.sleep(0.2)
            assert recovery.orphans(layout.root.resolve()) == [orphan]


@needs_pulumi
@pytest.mark.stack
def test_after_a_killed_update_the_next_one_goes_through(layout: Layout) -> None:
    root = layout.root.resolve()
    interpreter = HERE.venv / "bin" / "python"
    (root / ".venv").symlink_to(interpreter.parent.parent)
    (root / "__main__.py").write_text(PROGRAM, encoding="utf-8")
    (root / "slow.py").write_text(PROVIDER, encoding="utf-8")
    (root / "Pulumi.dev.yaml").write_text("config: {}\n", encoding="utf-8")
    (root / "slow").touch()
    env = pulumi_env(layout)
    up = ["pulumi", "up", "--yes", "--skip-preview", "--stack", "dev"]
    stacks.prepare(layout, "dev", "up", {}, env, Console(io.StringIO()))
    killed = subprocess.Popen(up, cwd=root, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (root / "creating").exists():
        assert time.monotonic() < deadline, "the update never came to its creation"
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert recovery.orphans(root), "the provider of a killed engine now ends by itself: nothing to end any more"

    stream = io.StringIO()
    (root / "slow").unlink()
    assert stacks.prepare(layout, "dev", "up", {}, env, Console(stream))
    said = stream.getvalue()
    assert "Unlocked stack dev" in said
    assert "which was creating thing" in said
    assert recovery.orphans(root) == []
    checkpoint = stack_file.checkpoint(layout.state, stack_file.project(root), "dev") or {}
    assert not checkpoint.get("pending_operations"), "every later update would warn of them"

    again = subprocess.run(up, cwd=root, env=env, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "interrupted while" not in again.stdout
