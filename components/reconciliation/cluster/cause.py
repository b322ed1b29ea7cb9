"""What is wrong with a workspace on a cluster, as one value: KAITO's reason, a sentence, and a way out at its end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

MESSAGE_CHARACTERS = 256
"""Of the cluster's own words in a message, as in KAITO's conditions (v0.12, pkg/workspace/controllers)."""

PRIORITY = (
    "ContainerOOMKilled",
    "ImagePullError",
    "ContainerStartError",
    "ContainerCrashLoopBackOff",
    "PodEvicted",
    "PodRejected",
    "PodFailed",
    "VolumeMountFailed",
    "NodeGone",
    "NodeNotReady",
    "NodeDiskPressure",
    "NodeMemoryPressure",
    "PodSecurityForbidden",
    "LimitRangeExceeded",
    "QuotaExceeded",
    "PodCreateFailed",
    "NodePoolNotReady",
    "CloudQuotaExceeded",
    "InsufficientCapacity",
    "NodeLaunchFailed",
    "NodePluginsNotReady",
    "NodePoolLimitReached",
    "NoInstanceType",
    "NodePoolUnsuitable",
    "NodeClaimNotReady",
    "Unschedulable",
)
"""Worst first. KAITO's eight are in KAITO's order; what it has not stands behind what it has of the same kind. A pod
without a node is the consequence of a node that is not made, and comes last."""


@dataclass(frozen=True, kw_only=True)
class Cause:
    """Why a workspace is not ready. `reason` is CamelCase, `message` a sentence that ends with a way out."""

    reason: str
    message: str
    pod: str = ""
    container: str = ""
    final: bool = False
    """Waiting longer cannot help."""
    wants_log: bool = False
    """The last lines of the container's log, or of its previous run's, belong behind the message."""


def cut(words: str, characters: int = MESSAGE_CHARACTERS) -> str:
    """Somebody else's words on one line and no longer than `characters`, without a full stop at the end.

    >>> cut("no such\\nimage.", 9)
    'no such …'
    """
    line = " ".join(words.split()).rstrip(". ")
    return line if len(line) <= characters else f"{line[: characters - 2].rstrip()} …"


def worst(causes: Iterable[Cause]) -> Cause | None:
    """The first by priority, then by pod; the same one in whatever order they come."""
    return min(causes, key=_rank, default=None)


def _rank(cause: Cause) -> tuple[int, str, str, str, bool]:
    place = PRIORITY.index(cause.reason) if cause.reason in PRIORITY else len(PRIORITY)
    return (place, cause.pod, cause.container, cause.message, cause.final)
