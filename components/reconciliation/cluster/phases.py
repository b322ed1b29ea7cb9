"""Which phase of its start a workspace is in, how long that usually takes, and when it has taken too long. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from components.planning.manifests.prefetch import PART as PREFETCH
from components.planning.manifests.scope import PART_LABEL
from components.reconciliation.cluster.api import Json
from components.reconciliation.cluster.partial_json import condition, is_leaving, mapping, mappings, text

Phase = Literal["nodes", "image", "weights", "load", "warmup"]
"""In the order in which they come."""

_NO_IMAGE_YET = {"ContainerCreating", "PodInitializing", "ErrImagePull", "ImagePullBackOff", "ImageInspectError", ""}
_ENDED = ("Succeeded", "Failed")


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Seconds that a phase takes: usually from `usual[0]` to `usual[1]`, and never more than `limit`."""

    usual: tuple[int, int]
    limit: int


BUDGETS: Mapping[Phase, Budget] = {
    "nodes": Budget(usual=(180, 420), limit=1200),
    "image": Budget(usual=(60, 120), limit=900),
    "weights": Budget(usual=(60, 900), limit=7200),
    "load": Budget(usual=(120, 360), limit=1800),
    "warmup": Budget(usual=(5, 95), limit=600),
}
"""The upper ends of `usual` are from one published start, 966 s for 51.75 GiB on Standard_NC24ads_A100_v4
(kaito-project/kaito#2325): nodes 284 + 126, image 101, load 74 + 21 + 62 + 195 (framework, engine, weights,
compilation), warmup 92 + 1. The lower ends, and weights, are from KAITO's proposal 20260520-model-mirror.md: nodes 3 to
8 min, image 1 to 2, weights 10 to 15 one file after another, load from 2.

Limits: nodes, Karpenter's own 5 min to launch and 15 to register (v1.14.1, nodeclaim/lifecycle/liveness.go), after
which it replaces the node; load, the 30 min of KAITO's startup probe; warmup, the 600 s of its benchmark. Image and
weights are ours: a 50 GB image at 55 MB/s, 641 GiB of weights at 95 MB/s. What is larger needs budgets of its own.
"""


def phase_of(pods: Sequence[Json], jobs: Sequence[Json], app_status: str | None) -> Phase:
    """The first phase that is not over. `app_status` is Ray Serve's; None while there is no application.

    >>> phase_of([], [], None)
    'nodes'
    """
    if any(text(job, "metadata", "labels", PART_LABEL) == PREFETCH and not _has_ended(job) for job in jobs):
        return "weights"
    serving = [pod for pod in pods if _serves(pod)]
    if not serving or any(not text(pod, "spec", "nodeName") for pod in serving):
        return "nodes"
    if any(_waits_for_image(pod) for pod in serving):
        return "image"
    return "warmup" if app_status == "RUNNING" else "load"


def overdue(phase: Phase, seconds_in_phase: float, budgets: Mapping[Phase, Budget] = BUDGETS) -> bool:
    return seconds_in_phase > budgets[phase].limit


def progress(phase: Phase, seconds: float, detail: str = "", budgets: Mapping[Phase, Budget] = BUDGETS) -> str:
    """
    >>> progress("nodes", 45, "1 of 2 ready")
    'nodes: 1 of 2 ready, 45 s; 3 to 7 min are usual'
    """
    so_far = ", ".join(part for part in (detail, _duration(seconds)) if part)
    return f"{phase}: {so_far}; {_span(*budgets[phase].usual)} are usual"


def _has_ended(job: Json) -> bool:
    """Well or not: a replica fetches for itself what a Job could not."""
    return any(text(condition(job, kind), "status") == "True" for kind in ("Complete", "Failed"))


def _serves(pod: Json) -> bool:
    """Whether it counts: not one that has ended or is being deleted, nor one that fetches weights."""
    is_prefetch = text(pod, "metadata", "labels", PART_LABEL) == PREFETCH
    return not is_prefetch and not is_leaving(pod) and text(pod, "status", "phase") not in _ENDED


def _waits_for_image(pod: Json) -> bool:
    """Whether a container has yet to be made; not while an init container runs, whose image is there.

    KubeRay's init container of a worker runs, from the worker's own image, until the head answers.
    """
    statuses = mappings(pod, "status", "containerStatuses")
    early = mappings(pod, "status", "initContainerStatuses")
    if any(mapping(status, "state", "running") for status in early if status.get("started") is not False):
        waiting = [status for status in statuses if text(status, "state", "waiting", "reason") != "PodInitializing"]
        return any(_is_waiting(status) for status in waiting)
    return not statuses or any(_is_waiting(status) for status in [*early, *statuses])


def _is_waiting(status: Json) -> bool:
    state = mapping(status, "state")
    if "running" in state or "terminated" in state:
        return False
    return text(state, "waiting", "reason") in _NO_IMAGE_YET


def _duration(seconds: float) -> str:
    """
    >>> _duration(45.4), _duration(612)
    ('45 s', '10 min 12 s')
    """
    whole = round(seconds)
    return f"{whole} s" if whole < 120 else f"{whole // 60} min {whole % 60} s"


def _span(low: int, high: int) -> str:
    """
    >>> _span(5, 95), _span(60, 120), _span(180, 420)
    ('5 to 95 s', '1 to 2 min', '3 to 7 min')
    """
    return f"{low} to {high} s" if high < 120 else f"{round(low / 60)} to {round(high / 60)} min"
