"""A pod's status, computed from those of its containers. Pure: it knows no clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.cluster.rig.api import Json


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What is known of a pod."""

    init: Sequence[Json]
    """Entries of initContainerStatuses."""
    main: Sequence[Json]
    """Entries of containerStatuses."""
    initialized: bool
    finished: bool
    """No main container will be started again, or an init container has failed for good."""
    sandboxed: bool
    """The pod has its network."""
    addresses: Mapping[str, object]


def phase(seen: Seen) -> str:
    """As a kubelet's getPhase."""
    if seen.finished:
        codes = [_exit_code(each) for each in seen.main]
        return "Failed" if not seen.initialized or any(code != 0 for code in codes) else "Succeeded"
    if not seen.initialized:
        return "Pending"
    if any("waiting" in each["state"] and "lastState" not in each for each in seen.main):
        return "Pending"
    return "Running"


def pod_status(seen: Seen) -> Json:
    """Everything but the times at which conditions changed."""
    unready = [each["name"] for each in seen.main if not each["ready"]]
    not_done = [each["name"] for each in seen.init if not each["ready"]]
    finished = seen.finished and phase(seen) == "Succeeded"
    if finished:
        ready = {"status": "False", "reason": "PodCompleted"}
    elif unready:
        ready = {
            "status": "False",
            "reason": "ContainersNotReady",
            "message": f"containers with unready status: [{' '.join(unready)}]",
        }
    else:
        ready = {"status": "True"}
    if seen.initialized:
        initialized = {"status": "True", **({"reason": "PodCompleted"} if finished else {})}
    else:
        initialized = {
            "status": "False",
            "reason": "ContainersNotInitialized",
            "message": f"containers with incomplete status: [{' '.join(not_done)}]",
        }
    return {
        "phase": phase(seen),
        **seen.addresses,
        "conditions": [
            {"type": "PodReadyToStartContainers", "status": str(seen.sandboxed)},
            {"type": "Initialized", **initialized},
            {"type": "ContainersReady", **ready},
            {"type": "Ready", **ready},
        ],
        "initContainerStatuses": list(seen.init),
        "containerStatuses": list(seen.main),
    }


def with_times(status: Json, before: Mapping[str, tuple[str, str]], now: str) -> Json:
    """Give each condition the time of its last change. `before`: status and time, by the condition's type."""
    conditions = []
    for condition in status["conditions"]:
        old, since = before.get(condition["type"], ("", ""))
        changed = since if old == condition["status"] else now
        # All fields are given: a strategic merge patch keeps what it is not told.
        conditions.append({"reason": None, "message": None, **condition, "lastTransitionTime": changed})
    return {**status, "conditions": conditions}


def _exit_code(status: Json) -> int:
    return status["state"].get("terminated", {}).get("exitCode", 1)
