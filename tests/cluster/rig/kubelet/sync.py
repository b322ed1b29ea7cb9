"""Compares the pods that should run with those that do, again and again."""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.cluster.rig import network
from tests.cluster.rig.api import Api, ApiError, Json, Unreachable
from tests.cluster.rig.kubelet.claims import Claims
from tests.cluster.rig.kubelet.container import Container
from tests.cluster.rig.kubelet.context import Context
from tests.cluster.rig.kubelet.images import Images
from tests.cluster.rig.kubelet.names import Names
from tests.cluster.rig.kubelet.pod import PodRunner
from tests.cluster.rig.kubelet.settings import LABEL, Settings

LOG = logging.getLogger("rig.kubelet")

ROUND_SECONDS = 0.3
CLAIMS_EVERY = 4
"""Rounds; claims may wait a little."""

FROM_CACHE = {"resourceVersion": "0"}
"""An answer that need not be the newest costs the API server less."""

FINAL = ("Succeeded", "Failed")


class Kubelet:
    """The kubelet of all nodes of one rig."""

    def __init__(self, api: Api, settings: Settings) -> None:
        self._api, self._settings = api, settings
        self._images = Images(settings)
        self._claims = Claims(api, settings)
        self._runners: dict[str, PodRunner] = {}
        self._addresses = _addresses()
        self._lock = threading.Lock()

    def loop(self, stop: threading.Event) -> None:
        """Until told to stop; then end every pod's processes."""
        away = False
        for number in itertools.count():
            if stop.wait(ROUND_SECONDS):
                break
            try:
                self._sync_pods()
                self._sync_names()
                if number % CLAIMS_EVERY == 0:
                    self._claims.sync()
                away = False
            except (ApiError, Unreachable) as error:
                if not away:
                    LOG.warning("the API server is away: %s", error)
                away = True
            except Exception:
                LOG.exception("a round has failed")
        for runner in self._all():
            runner.abandon()

    def find(self, namespace: str, pod: str, container: str) -> Container | None:
        """A container of a pod that runs here, or has ended and is not yet deleted."""
        for runner in self._all():
            if (runner.context.namespace, runner.context.name) == (namespace, pod):
                return runner.find(container)
        return None

    def _sync_pods(self) -> None:
        pods = self._api.items("/api/v1/pods", {"labelSelector": LABEL})
        bound = {pod["metadata"]["uid"]: pod for pod in pods if pod["spec"].get("nodeName")}
        for uid, pod in bound.items():
            runner = self._runners.get(uid)
            leaving = "deletionTimestamp" in pod["metadata"]
            if runner is not None:
                runner.context.update(pod)
                if leaving:
                    runner.stop()
            elif leaving:
                self._bury(pod)
            elif pod["status"].get("phase") not in FINAL:
                self._begin(pod)
        for runner in self._all():
            if runner.context.uid not in bound:  # deleted by force, or with its node
                runner.stop()

    def _sync_names(self) -> None:
        services = self._api.items("/api/v1/services", FROM_CACHE)
        slices = self._api.items("/apis/discovery.k8s.io/v1/endpointslices", FROM_CACHE)
        names = Names(services, slices)
        _rewrite(network.hosts_file(self._settings.netns), names.hosts())
        for runner in self._all():
            context = runner.context
            _rewrite(context.hosts, names.hosts(context.namespace, _own_line(context)))

    def _begin(self, pod: Json) -> None:
        context = Context(
            settings=self._settings, api=self._api, images=self._images, pod=pod, address=next(self._addresses)
        )
        context.folder.mkdir(parents=True, exist_ok=True)
        hosts = network.hosts_file(self._settings.netns).read_text(encoding="utf-8")
        _rewrite(context.hosts, f"{hosts}{_own_line(context)}\n")
        runner = PodRunner(context, self._forget)
        with self._lock:
            self._runners[context.uid] = runner
        runner.start()

    def _bury(self, pod: Json) -> None:
        """A pod that has ended before, or was another kubelet's: nothing of it runs."""
        meta = pod["metadata"]
        path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}"
        self._api.delete(path, {"gracePeriodSeconds": 0, "preconditions": {"uid": meta["uid"]}})

    def _forget(self, uid: str) -> None:
        with self._lock:
            self._runners.pop(uid, None)

    def _all(self) -> list[PodRunner]:
        with self._lock:
            return list(self._runners.values())


def _addresses() -> Iterator[str]:
    """10.244.1.2 and on; none is used twice, so that nothing old is mistaken for something new."""
    return (f"10.244.{number // 250 + 1}.{number % 250 + 2}" for number in itertools.count())


def _own_line(context: Context) -> str:
    return f"{context.address} {context.hostname}"


def _rewrite(path: Path, text: str) -> None:
    """In place: what is mounted elsewhere is this very file."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
