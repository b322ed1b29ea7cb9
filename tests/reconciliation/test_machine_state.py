"""Ports and processes of this machine, with real ones."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest

from components.reconciliation import ports, processes

MARK = "MODELYARD_TEST_MARK"
SLEEP = "import time; time.sleep(60)"


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket() as listening:
        listening.bind((ports.LOOPBACK, 0))
        listening.listen()
        yield listening


def test_a_pinned_port_in_use_is_refused_by_number_key_and_holder(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    with pytest.raises(ports.PortTaken, match=rf"port {port} is in use by \S+ \(process {os.getpid()}\).*the\.key"):
        ports.choose(port, (None, 8000), "the.key", ours=set(), taken=set())


def test_a_pinned_port_that_our_own_process_holds_is_ours(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    assert ports.choose(port, (None, 8000), "the.key", ours={port}, taken=set()) == port


def test_an_unpinned_port_skips_what_is_in_use_or_taken(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    chosen = ports.choose(None, (None, port), "the.key", ours=set(), taken={port + 1})
    assert chosen > port + 1


def test_an_earlier_choice_comes_first() -> None:
    [earlier] = ports.any_free(1)
    assert ports.choose(None, (earlier, 8000), "the.key", ours=set(), taken=set()) == earlier


def start_marked(code: str, value: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", code], env={**os.environ, MARK: value}, start_new_session=True)


def test_ending_takes_the_whole_family_and_no_other() -> None:
    # The grandchild has lost its mark, as Ray's processes do that give themselves a title.
    nested = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {SLEEP!r}], env={{}}); {SLEEP}"
    parent = start_marked(nested, "ours")
    other = start_marked(SLEEP, "theirs")
    try:
        while len(processes.family(MARK, "ours")) < 2:
            time.sleep(0.05)
        family = processes.family(MARK, "ours")
        started = processes.created_at(parent.pid)
        assert processes.is_alive(parent.pid, started)
        assert not processes.is_alive(parent.pid, started - 60), "another process that had the same id"
        processes.end(parent.pid, started, mark=(MARK, "ours"))
        assert not [each for each in family if processes.lives(each)]
        assert other.poll() is None
    finally:
        for process in (parent, other):
            process.kill()
            process.wait()


def test_the_provider_ends_with_the_engine_that_started_it() -> None:
    watch = "from components.reconciliation.lifeline import end_with_engine; end_with_engine()"
    child = f"{watch}; print('up', flush=True); {SLEEP}"
    start = f"p = subprocess.Popen([sys.executable, '-c', {child!r}])"
    engine = f"import subprocess, sys; {start}; print(p.pid, flush=True); p.wait()"
    parent = subprocess.Popen([sys.executable, "-c", engine], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent.stdout as out:
        pid = int(out.readline())
        assert out.readline() == "up\n"
        provider = psutil.Process(pid)
        parent.kill()
        parent.wait()
        _, alive = psutil.wait_procs([provider], timeout=10)
    assert not [each for each in alive if processes.lives(each)], "it would wait for ever"
