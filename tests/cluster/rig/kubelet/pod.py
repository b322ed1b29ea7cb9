"""Runs one pod, from its binding to a node to its deletion."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from tests.cluster.rig.api import ApiError, Json, Unreachable
from tests.cluster.rig.kubelet.container import Container, Role
from tests.cluster.rig.kubelet.context import Context
from tests.cluster.rig.kubelet.events import now
from tests.cluster.rig.kubelet.references import NotThere
from tests.cluster.rig.kubelet.status import Seen, pod_status, with_times

LOG = logging.getLogger("rig.kubelet")

TICK_SECONDS = 0.15
REFRESH_SECONDS = 3.0
"""How soon volumes follow a change of their config map; a real kubelet takes up to a minute."""


class PodRunner:
    """One thread a pod. `forget` is called at its end."""

    def __init__(self, context: Context, forget: Callable[[str], None]) -> None:
        self.context, self._forget = context, forget
        spec = context.pod["spec"]
        self.init = [Container(each, _role(each), context) for each in spec.get("initContainers", [])]
        self.main = [Container(each, Role.MAIN, context) for each in spec["containers"]]
        self._stopping = threading.Event()
        self._abandoned = False
        self._initialized = not self.init
        self._finished = False
        self._sandboxed = False
        self._times: dict[str, tuple[str, str]] = {}
        self._reported = ""
        self._refreshed = time.monotonic()

    def start(self) -> None:
        """Begin to run it."""
        threading.Thread(target=self._run, name=self.context.name, daemon=True).start()

    def stop(self) -> None:
        """Begin to end the pod; it is then deleted from the API server, if it is still there."""
        self._stopping.set()

    def abandon(self) -> None:
        """End all processes now and leave the API server alone: the kubelet itself ends."""
        self._abandoned = True
        self._stopping.set()
        for container in (*self.init, *self.main):
            container.kill()
        self.context.network.remove()

    def find(self, container: str) -> Container | None:
        """A container by its name."""
        return next((each for each in (*self.init, *self.main) if each.name == container), None)

    def _run(self) -> None:
        try:
            self.context.network.make()
            self._sandboxed = True
            self._report()
            if self._mount():
                self._live()
            self._stopping.wait()
        except Exception as error:
            LOG.exception("%s cannot be run", self.context.name)
            self.context.events.warning("FailedCreatePodSandBox", f"Failed to create pod sandbox: {error}")
            self._stopping.wait()
        if not self._abandoned:
            self._end()

    def _mount(self) -> bool:
        while not self._stopping.is_set():
            try:
                self.context.volumes.prepare(self.context.addresses())
                return True
            except NotThere as error:
                self.context.events.warning("FailedMount", str(error))
            except (ApiError, Unreachable) as error:
                LOG.info("%s: volumes: %s", self.context.name, error)
            self._stopping.wait(1.0)
        return False

    def _live(self) -> None:
        while not self._stopping.is_set() and not self._finished:
            self._tend()
            self._report()
            self._refresh()
            self._stopping.wait(TICK_SECONDS)

    def _tend(self) -> None:
        if not self._initialized:
            for container in self.init:
                container.tend()
                if not container.passed:
                    self._finished = container.over
                    return
            self._initialized = True
        for container in self.init:
            if container.role is Role.SIDECAR:
                container.tend()
        for container in self.main:
            container.tend()
        if all(container.over for container in self.main):
            for container in reversed(self.init):
                container.stop()
            self._finished = True

    def _refresh(self) -> None:
        if time.monotonic() - self._refreshed > REFRESH_SECONDS:
            with suppress(ApiError, Unreachable):
                self.context.volumes.refresh(self.context.addresses())
            self._refreshed = time.monotonic()

    def _end(self) -> None:
        threads = [threading.Thread(target=container.stop) for container in self.main]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for container in reversed(self.init):
            container.stop()
        self._report()
        self.context.network.remove()
        self.context.volumes.remove()
        self._delete()
        self._forget(self.context.uid)

    def _delete(self) -> None:
        body = {"gracePeriodSeconds": 0, "preconditions": {"uid": self.context.uid}}
        while True:
            try:
                self.context.api.delete(self.context.path, body)
                return
            except (ApiError, Unreachable) as error:
                LOG.info("%s cannot be deleted yet: %s", self.context.name, error)
                time.sleep(1.0)

    def _report(self) -> None:
        """Write the pod's status when it has changed; what could not be written is written the next time."""
        seen = Seen(
            init=[container.status() for container in self.init],
            main=[container.status() for container in self.main],
            initialized=self._initialized,
            finished=self._finished,
            sandboxed=self._sandboxed,
            addresses=self.context.addresses(),
        )
        plain = pod_status(seen)
        text = json.dumps(plain)
        if text == self._reported:
            return
        status = with_times(plain, self._times, now())
        try:
            self.context.api.strategic(f"{self.context.path}/status", {"status": status})
        except (ApiError, Unreachable) as error:
            LOG.info("the status of %s is not written: %s", self.context.name, error)
            return
        self._reported = text
        self._times = {each["type"]: (each["status"], each["lastTransitionTime"]) for each in status["conditions"]}


def _role(spec: Json) -> Role:
    return Role.SIDECAR if spec.get("restartPolicy") == "Always" else Role.INIT
