"""Writes Events about pods, as a kubelet does; the same one again raises its count."""

from __future__ import annotations

import logging
import threading
import time
from datetime import UTC, datetime

from tests.cluster.rig.api import Api, ApiError, Json, Unreachable

LOG = logging.getLogger("rig.kubelet")


def now() -> str:
    """The time as Kubernetes writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Events:
    """Of one pod. What cannot be written is lost, as a kubelet's events may be."""

    def __init__(self, api: Api, pod: Json) -> None:
        self._api, self._pod = api, pod
        self._counts: dict[tuple[str, str, str], tuple[str, int]] = {}
        self._lock = threading.Lock()

    def normal(self, reason: str, message: str, container: str = "") -> None:
        """Something that is as it should be."""
        self._write("Normal", reason, message, container)

    def warning(self, reason: str, message: str, container: str = "") -> None:
        """Something that is not."""
        LOG.warning("%s/%s %s: %s", self._pod["metadata"]["name"], container, reason, message)
        self._write("Warning", reason, message, container)

    def _write(self, kind: str, reason: str, message: str, container: str) -> None:
        meta = self._pod["metadata"]
        path = f"/api/v1/namespaces/{meta['namespace']}/events"
        with self._lock:
            key = (reason, message, container)
            name, count = self._counts.get(key, ("", 0))
            try:
                if count:
                    self._api.merge(f"{path}/{name}", {"count": count + 1, "lastTimestamp": now()})
                else:
                    name = f"{meta['name'][:200]}.{time.time_ns():x}"
                    self._api.post(path, self._event(name, kind, reason, message, container))
            except (ApiError, Unreachable) as error:
                LOG.info("an event of %s is lost: %s", meta["name"], error)
                return
            self._counts[key] = (name, count + 1)

    def _event(self, name: str, kind: str, reason: str, message: str, container: str) -> Json:
        meta = self._pod["metadata"]
        field = {"fieldPath": f"spec.containers{{{container}}}"} if container else {}
        return {
            "metadata": {"name": name, "namespace": meta["namespace"]},
            "involvedObject": {
                "apiVersion": "v1",
                "kind": "Pod",
                "name": meta["name"],
                "namespace": meta["namespace"],
                "uid": meta["uid"],
                **field,
            },
            "type": kind,
            "reason": reason,
            "message": message[:1024],
            "count": 1,
            "firstTimestamp": now(),
            "lastTimestamp": now(),
            "source": {"component": "kubelet", "host": self._pod["spec"].get("nodeName", "")},
            "reportingComponent": "kubelet",
            "reportingInstance": self._pod["spec"].get("nodeName", ""),
        }
