"""Peers: installed once, started as servers of their own, ended whole, and failures with a reason."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from pathlib import Path

import psutil
import pytest

from benchmarks import llama_server, peer_cache, peer_process, vllm_cpu
from benchmarks.errors import ServiceFailed
from benchmarks.peers import PEERS, parameters
from components.reconciliation import ports
from toolchain.errors import ToolchainError

SERVER = """
import http.server, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "modelyard" / "peers"


def test_what_is_installed_is_not_installed_again(cache: Path) -> None:
    made: list[Path] = []
    assert [peer_cache.prepared("one-1.0", made.append) for _ in range(2)] == [cache / "one-1.0"] * 2
    assert made == [cache / "one-1.0"]


def test_what_an_interrupted_installation_left_is_made_again(cache: Path) -> None:
    def interrupted(folder: Path) -> None:
        (folder / "half").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        peer_cache.prepared("one-1.0", interrupted)
    folder = peer_cache.prepared("one-1.0", lambda folder: (folder / "whole").touch())
    assert not (folder / "half").exists()


def test_a_failed_installation_is_a_reason_and_says_what_to_do(cache: Path) -> None:
    def fail(_folder: Path) -> None:
        raise ToolchainError("`cmake` failed with status 1:\nno C++ compiler", "install g++")

    with pytest.raises(ServiceFailed, match=r"no C\+\+ compiler; install g\+\+"):
        peer_cache.prepared("one-1.0", fail)


def running(code: str, seconds: float = 30.0) -> AbstractContextManager[tuple[psutil.Process, ...]]:
    [port] = ports.any_free(1)
    command = [sys.executable, "-c", code, str(port)]
    return peer_process.running("peer", command, port=port, environment={}, seconds=seconds, usual="")


def test_a_peer_is_ended_with_all_that_it_started() -> None:
    with running(SERVER) as processes:
        assert len(processes) == 2
    _, alive = psutil.wait_procs(processes, timeout=10)
    assert not alive


def test_a_peer_that_ends_at_once_has_its_last_words_as_the_reason() -> None:
    with pytest.raises(ServiceFailed, match="exit 1 while it started: no weights"), running("exit('no weights')"):
        pass


def test_a_peer_that_never_answers_is_given_up() -> None:
    with (
        pytest.raises(ServiceFailed, match="not ready after 1 s: it said nothing"),
        running("import time; time.sleep(600)", seconds=1),
    ):
        pass


def test_a_program_that_is_not_there_is_a_reason() -> None:
    starting = peer_process.running("peer", ["/nonexistent"], port=9, environment={}, seconds=1, usual="")
    with pytest.raises(ServiceFailed, match="cannot be run"), starting:
        pass


def test_adapters_of_llama_server_are_chosen_by_number() -> None:
    plain, first, second = llama_server.targets(2)
    assert "lora" not in plain
    assert [first["lora"], second["lora"]] == [[{"id": 0, "scale": 1.0}], [{"id": 1, "scale": 1.0}]]


def test_a_report_has_versions_and_options_of_the_chosen_peers_only() -> None:
    found = parameters(["vllm"])["peers"]
    assert isinstance(found, dict)
    assert list(found) == [PEERS["vllm"].name]
    assert found[PEERS["vllm"].name]["version"] == vllm_cpu.VERSION


def test_every_requirement_of_vllm_has_one_version() -> None:
    lines = vllm_cpu.REQUIREMENTS.read_text(encoding="utf-8").splitlines()
    assert all("==" in line for line in lines if line and not line.startswith("#"))
