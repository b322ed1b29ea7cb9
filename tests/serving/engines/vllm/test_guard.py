"""What a replica has started, when the replica is gone."""

from __future__ import annotations

import signal
import subprocess
import sys

import psutil
import pytest

REPLICA = """
import subprocess, sys, time
from serving.engines.vllm_engine.guard import end_children_with_this_process
end_children_with_this_process()
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
time.sleep(3)
print(child.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.slow
def test_what_a_killed_replica_has_started_ends_too() -> None:
    replica = subprocess.Popen([sys.executable, "-c", REPLICA], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert replica.stdout is not None
    child = psutil.Process(int(replica.stdout.readline()))
    family = [child, *psutil.Process(replica.pid).children()]
    replica.send_signal(signal.SIGKILL)
    replica.communicate()
    _, left = psutil.wait_procs(family, timeout=60)
    assert not left, "a process of the replica holds its memory for ever"
