"""Thirty workspaces in one stack: that all of them come up, and that a second update finds nothing to do."""

from __future__ import annotations

import re
import threading

import psutil
import pytest

from tests.cluster.rig.api import Json
from tests.cluster.rig.rig import Rig
from tests.cluster.test_faults import sleeper
from tests.cluster.yard import ClusterYard

pytestmark = pytest.mark.cluster

WORKSPACES = 30
POOL = {"labelSelector": {"matchLabels": {"pool": "many"}}}
MIB = 2**20
PROVIDER_MIB = 300


class Largest:
    """The largest resident memory that a process of the dynamic providers has had."""

    def __init__(self) -> None:
        self.mib = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Largest:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.5):
            for process in psutil.process_iter(["cmdline", "memory_info"]):
                if "pulumi.dynamic" in (process.info["cmdline"] or []):
                    self.mib = max(self.mib, process.info["memory_info"].rss / MIB)


def is_ready(workspace: Json) -> bool:
    conditions = {each["type"]: each["status"] for each in workspace["status"]["conditions"]}
    return conditions["WorkspaceReady"] == "True"


def test_thirty_workspaces_in_one_update(idle_yard: ClusterYard, rig: Rig) -> None:
    rig.make_node("many-0", "Standard_NC96ads_A100_v4", labels={"pool": "many"})
    rig.make_node("many-1", "Standard_NC96ads_A100_v4", labels={"pool": "many"})
    try:
        names = [f"model-{number:02}" for number in range(WORKSPACES)]
        idle_yard.configure_cluster(*(sleeper(name, resource=POOL) for name in names), nodes="existing")
        with Largest() as largest:
            idle_yard.up()
        shown = idle_yard.api.items(idle_yard.path("workspaces", "", "/apis/modelyard.dev/v1"))
        ready = [each["metadata"]["name"] for each in shown if is_ready(each)]
        assert sorted(ready) == names
        assert 0 < largest.mib < PROVIDER_MIB, f"the provider's process took {largest.mib:.0f} MiB"
        again = idle_yard.pulumi("up").expect().text
        assert re.search(r"Resources:\s+\d+ unchanged\s+Duration", again), again
    finally:
        for node in ("many-0", "many-1"):
            rig.api.delete(f"/api/v1/nodes/{node}")
