"""What KubeRay says of a RayService and its RayClusters, and how many workers it should have. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from components.planning.manifests.ray_service import WORKER_GROUP
from components.planning.manifests.scope import DIGEST_ANNOTATION, PART_LABEL
from components.reconciliation.cluster.api import Json
from components.reconciliation.cluster.partial_json import condition, is_leaving, mappings, name_of, number, text
from components.reconciliation.cluster.values import ScaleWorkers, Seen, Wanted
from components.reconciliation.state import Application


def active_cluster(service: Json) -> str:
    """The Ray that serves; "" if none does."""
    return text(service, "status", "activeServiceStatus", "rayClusterName")


def pending_cluster(service: Json) -> str:
    """The Ray that KubeRay prepares to take over; "" if there is none."""
    return text(service, "status", "pendingServiceStatus", "rayClusterName")


def watched_cluster(service: Json) -> str:
    """The Ray that is to serve; "" where KubeRay has made none yet."""
    return pending_cluster(service) or active_cluster(service)


def is_taken_over(service: Json) -> bool:
    """Whether its controller says that it has looked at the newest version of the object.

    KubeRay 1.6 says so only together with another change of the status, so that for a RayService no is no answer.
    """
    return number(service, "status", "observedGeneration") >= number(service, "metadata", "generation")


def refusal(service: Json) -> str:
    """Why KubeRay does nothing with the object; "" if it does.

    The condition stays as it was until the service is ready, while what is refused is never counted as looked at.
    """
    ready = condition(service, "Ready")
    refused = text(ready, "reason") == "ValidationFailed" and not is_taken_over(service)
    return text(ready, "message") if refused else ""


def has_pods(cluster: Json, digest: str) -> bool:
    """Whether a RayCluster was made of the pods that are wanted."""
    return text(cluster, "metadata", "annotations", DIGEST_ANNOTATION) == digest


def workers_in(cluster: Json) -> int | None:
    """How many workers a RayCluster is asked to have; None if it has no group of ours."""
    group = _group(cluster)
    return None if group is None else number(group, "replicas")


def ray_version(clusters: Iterable[Json]) -> str:
    """Of the RayClusters that there are; "" if there is none."""
    return next((version for cluster in clusters if (version := text(cluster, "spec", "rayVersion"))), "")


def worker_pods(pods: Sequence[Json], cluster: str) -> list[Json]:
    return [
        pod
        for pod in pods
        if text(pod, "metadata", "labels", "ray.io/cluster") == cluster
        and text(pod, "metadata", "labels", PART_LABEL) == "worker"
    ]


def scaling(wanted: Wanted, seen: Seen, name: str, cluster: Json) -> ScaleWorkers | None:
    """As many workers as there are replicas, those that start and those that end included, and no fewer than wanted.

    A replica that is to be replaced ends when the new one answers, so that a worker more is needed for a while. Fewer
    workers: those go that hold no replica.
    """
    have = workers_in(cluster)
    if have is None or is_leaving(cluster) or seen.application is None:
        return None
    need = max(wanted.replicas, len(seen.application.replicas))
    if need > have:
        return ScaleWorkers(name, need)
    if need == have:
        return None
    idle = idle_workers(worker_pods(seen.pods, name), seen.application)
    leave = tuple(sorted(idle)[: have - need])
    return ScaleWorkers(name, have - len(leave), leave) if leave else None


def idle_workers(workers: Sequence[Json], application: Application) -> list[str]:
    """Names of worker pods that no replica is in."""
    used = {replica.address for replica in application.replicas}
    return [name_of(pod) for pod in workers if text(pod, "status", "podIP") not in used and not is_leaving(pod)]


def group_index(cluster: Mapping[str, object]) -> int | None:
    """Where our worker group stands in a RayCluster."""
    groups = mappings(cluster, "spec", "workerGroupSpecs")
    return next((index for index, group in enumerate(groups) if text(group, "groupName") == WORKER_GROUP), None)


def _group(cluster: Json) -> Json | None:
    index = group_index(cluster)
    return None if index is None else mappings(cluster, "spec", "workerGroupSpecs")[index]
