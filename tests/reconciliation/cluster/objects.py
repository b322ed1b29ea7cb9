"""Objects as an API server gives them: pods, their containers' states, nodes, events, claims and pools."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.reconciliation.cluster.api import Json
from components.reconciliation.cluster.causes import Cause, cause_of

NAMESPACE = "ml"
IMAGE = "registry.example.com/modelyard:1"


def waiting(reason: str, message: str = "") -> Json:
    return {"waiting": {"reason": reason, "message": message}}


def ended(code: int, reason: str = "Error", message: str = "") -> Json:
    return {"terminated": {"exitCode": code, "reason": reason, "message": message}}


RUNNING: Json = {"running": {"startedAt": "2026-08-21T10:00:00Z"}}
CREATING = waiting("ContainerCreating")


def container(
    name: str = "ray-worker",
    state: Json | None = None,
    *,
    last: Json | None = None,
    restarts: int = 0,
    ready: bool = False,
) -> Json:
    """The status of a container."""
    return {
        "name": name,
        "image": IMAGE,
        "ready": ready,
        "restartCount": restarts,
        "state": RUNNING if state is None else state,
        "lastState": last or {},
    }


def pod(
    name: str = "chat-worker-1",
    *statuses: Json,
    init: tuple[Json, ...] = (),
    node: str = "gpu-1",
    phase: str = "Pending",
    labels: dict[str, str] | None = None,
    job: str = "",
    created: str = "2026-08-21T10:00:00Z",
    limits: dict[str, str] | None = None,
    spec: Json | None = None,
    status: Json | None = None,
) -> Json:
    """A pod on a node; its containers are those that have a status."""
    owner = {"kind": "Job", "name": job, "uid": f"uid-{job}"} if job else {"kind": "RayCluster", "name": "chat-abc12"}
    return {
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "uid": f"uid-{name}",
            "labels": labels or {},
            "creationTimestamp": created,
            "ownerReferences": [owner],
        },
        "spec": {
            "nodeName": node,
            "containers": [_container_spec(one, limits) for one in statuses],
            "initContainers": [_container_spec(one, limits) for one in init],
            **(spec or {}),
        },
        "status": {
            "phase": phase,
            "containerStatuses": list(statuses),
            "initContainerStatuses": list(init),
            **(status or {}),
        },
    }


def _container_spec(status: Json, limits: dict[str, str] | None) -> Json:
    return {"name": status["name"], "image": IMAGE, "resources": {"limits": limits or {}, "requests": limits or {}}}


def pending(message: str, name: str = "chat-worker-1", reason: str = "Unschedulable", **more: Any) -> Json:  # noqa: ANN401
    """A pod that the scheduler has said something about."""
    condition = {"type": "PodScheduled", "status": "False", "reason": reason, "message": message}
    spec: Json = {"containers": [{"name": "ray-worker", "resources": {"requests": {"nvidia.com/gpu": "2"}}}], **more}
    return pod(name, node="", spec=spec, status={"conditions": [condition]})


def node(name: str = "gpu-1", *, gpus: int = 2, taints: tuple[Json, ...] = (), **conditions: str) -> Json:
    """A node that is Ready; conditions: MemoryPressure="True" and so on."""
    states = {"Ready": "True", "DiskPressure": "False", "MemoryPressure": "False", **conditions}
    listed = [
        {"type": kind, "status": state, "message": "kubelet stopped posting node status"}
        for kind, state in states.items()
    ]
    status = {"conditions": listed, "allocatable": {"cpu": "24", "nvidia.com/gpu": str(gpus)}}
    return {"metadata": {"name": name}, "spec": {"taints": list(taints)}, "status": status}


def nodes(*found: Json) -> dict[str, Json]:
    return {one["metadata"]["name"]: one for one in found or (node(),)}


def event(
    reason: str,
    message: str,
    name: str = "chat-worker-1",
    *,
    kind: str = "Pod",
    count: int = 1,
    at: str = "2026-08-21T10:05:00Z",
    namespace: str = NAMESPACE,
) -> Json:
    return {
        "involvedObject": {"kind": kind, "name": name, "namespace": namespace},
        "reason": reason,
        "message": message,
        "count": count,
        "lastTimestamp": at,
    }


Conditions = Mapping[str, tuple[str, str, str]]
"""Status, reason and message of each."""


def claim(
    conditions: Conditions | None = None, *, name: str = "chat-x7k2p", created: str = "2026-08-21T10:00:00Z"
) -> Json:
    """A NodeClaim; the conditions that are not given await reconciliation."""
    waits = ("Unknown", "AwaitingReconciliation", "object is awaiting reconciliation")
    all_conditions = dict.fromkeys(("Launched", "Registered", "Initialized"), waits) | dict(conditions or {})
    return {
        "metadata": {"name": name, "creationTimestamp": created},
        "status": {"conditions": _conditions(all_conditions)},
    }


def pool(conditions: Conditions | None = None, *, name: str = "chat") -> Json:
    """A NodePool that is ready but for the conditions that are given."""
    fine = ("True", "", "")
    all_conditions = dict.fromkeys(("ValidationSucceeded", "NodeClassReady", "Ready"), fine) | dict(conditions or {})
    return {"metadata": {"name": name}, "status": {"conditions": _conditions(all_conditions)}}


def _conditions(found: Conditions) -> list[Json]:
    return [
        {"type": kind, "status": status, "reason": reason, "message": message}
        for kind, (status, reason, message) in found.items()
    ]


def job(name: str = "chat-weights-1", *, complete: bool = False, part: str = "prefetch") -> Json:
    conditions = [{"type": "Complete", "status": "True"}] if complete else []
    return {"metadata": {"name": name, "labels": {"modelyard.dev/part": part}}, "status": {"conditions": conditions}}


def found(*pods: Json, events: tuple[Json, ...] = (), on: dict[str, Json] | None = None) -> Cause:
    """The cause, which there must be."""
    cause = cause_of(pods, nodes() if on is None else on, events)
    assert cause is not None, "nothing was found wrong"
    return cause
