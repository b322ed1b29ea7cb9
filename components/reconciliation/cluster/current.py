"""Which pods of a workspace count: not those that are on their way out, whatever is wrong with them. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from components.planning.manifests.prefetch import PART as PREFETCH
from components.planning.manifests.scope import PART_LABEL
from components.planning.manifests.template import PART as TEMPLATE
from components.reconciliation.cluster.api import Json
from components.reconciliation.cluster.partial_json import mapping, text
from components.reconciliation.cluster.ray_service import watched_cluster
from components.reconciliation.cluster.values import Seen

_OF_RAY = "ray.io/cluster"
_OF_TEMPLATE = "pod-template-hash"
_OF_JOB = "batch.kubernetes.io/job-name"


def current_pods(seen: Seen) -> tuple[Json, ...]:
    """Of Ray, those of the cluster that is to serve; of a template and of Jobs, those made like the newest one.

    KubeRay keeps a Ray for a minute after another one has taken over, a Deployment keeps an old pod until a new one is
    available, and a Job stays until Pulumi removes it, at the end of the update that made another.
    """
    watched = watched_cluster(seen.main) if seen.main is not None else ""
    newest = {part: _newest(seen.pods, part, label) for part, label in _GROUPS.items()}
    return tuple(pod for pod in seen.pods if _counts(pod, watched, newest))


_GROUPS = {TEMPLATE: _OF_TEMPLATE, PREFETCH: _OF_JOB}


def _counts(pod: Json, watched: str, newest: dict[str, str]) -> bool:
    cluster, part = text(pod, "metadata", "labels", _OF_RAY), text(pod, "metadata", "labels", PART_LABEL)
    if cluster:
        return not watched or cluster == watched
    return part not in newest or text(pod, "metadata", "labels", _GROUPS[part]) == newest[part]


def _newest(pods: Sequence[Json], part: str, label: str) -> str:
    """The label of the pod that was made last."""
    metadata = [mapping(pod, "metadata") for pod in pods]
    made = [
        (text(each, "creationTimestamp"), text(each, "labels", label))
        for each in metadata
        if text(each, "labels", PART_LABEL) == part
    ]
    return max(made, default=("", ""))[1]
