"""Why a workspace's pods do not run, read from the pods, their nodes and the events. Pure: no client, no clock.

Classes of failures and their order are those of KAITO v0.12 (pkg/workspace/controllers); what KAITO does not tell apart
has reasons of its own in `cause.PRIORITY`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from components.reconciliation.cluster import event
from components.reconciliation.cluster.admission import refusal
from components.reconciliation.cluster.api import Json
from components.reconciliation.cluster.cause import Cause, cut, worst
from components.reconciliation.cluster.containers import container_cause, containers_of
from components.reconciliation.cluster.partial_json import condition, is_leaving, mappings, name_of, text
from components.reconciliation.cluster.scheduling import unscheduled
from components.reconciliation.cluster.volumes import dropped_image, mount_failure

__all__ = ["Cause", "cause_of"]

_EVICTED = {"Evicted", "Preempted", "Preempting", "NodeShutdown", "Shutdown", "Terminated", "NodeLost"}
_NO_SANDBOX = ("FailedCreatePodSandBox", "FailedPrepareDynamicResources", "NetworkNotReady")


def cause_of(pods: Sequence[Json], nodes: Mapping[str, Json] | None, events: Sequence[Json] = ()) -> Cause | None:
    """The worst of what is wrong with the pods of one workspace, or None.

    `nodes` are all nodes of the cluster by name; None where the login may not read them, and then nothing is said of
    them. Pods that are being deleted do not count, nor does a Job's failed pod once another one of it has succeeded.
    `events` are those of the workspace's pods, claims, and of the Jobs, RayClusters and ReplicaSets that make its pods.
    """
    counted = [pod for pod in pods if not is_leaving(pod)]
    succeeded = {_job_of(pod) for pod in counted if text(pod, "status", "phase") == "Succeeded"} - {""}
    current = [pod for pod in counted if _job_of(pod) not in succeeded]
    failed = Counter(job for pod in current if (job := _job_of(pod)) and text(pod, "status", "phase") == "Failed")
    refused = refusal(counted, events)
    causes = [] if refused is None else [refused]
    for pod in current:
        causes += _pod_causes(pod, nodes, events, failed_siblings=max(0, failed[_job_of(pod)] - 1))
    return worst(causes)


def _pod_causes(
    pod: Json, nodes: Mapping[str, Json] | None, events: Sequence[Json], failed_siblings: int
) -> Iterator[Cause]:
    lost = _lost_node(pod, nodes)
    if lost is not None:
        yield lost  # what the pod's status says is from before, and nobody will write it again
        return
    for cause in (
        *(container_cause(container, events) for container in containers_of(pod, failed_siblings)),
        _ended(pod),
        _no_sandbox(pod, events),
        mount_failure(pod, events),
        dropped_image(pod),
        _node_pressure(pod, nodes),
        unscheduled(pod, nodes, events),
    ):
        if cause is not None:
            yield cause


def _job_of(pod: Json) -> str:
    """The uid, or else the name, of the Job that a pod belongs to; a Job's pods replace each other."""
    owners = mappings(pod, "metadata", "ownerReferences")
    return next((text(job, "uid") or text(job, "name") for job in owners if text(job, "kind") == "Job"), "")


def _ended(pod: Json) -> Cause | None:
    """What the kubelet says of a pod that it ended as a whole, or did not take at all."""
    name, why = name_of(pod), text(pod, "status", "reason")
    if text(pod, "status", "phase") != "Failed" or not why:
        return None
    said = cut(text(pod, "status", "message")) or why
    if why in _EVICTED:
        return Cause(
            reason="PodEvicted",
            message=f"pod {name} was evicted from its node: {said}; {_room(said)}",
            pod=name,
        )
    if why == "UnexpectedAdmissionError" or why.startswith("OutOf"):
        return Cause(
            reason="PodRejected",
            message=f"node {text(pod, 'spec', 'nodeName')} did not take pod {name}: {why}: {said}; see whether its "
            "GPUs are healthy, and whether pods that are not Modelyard's use them",
            pod=name,
        )
    return Cause(
        reason="PodFailed",
        message=f"pod {name} has failed: {why}: {said}; look at it with kubectl describe pod {name}",
        pod=name,
    )


def _room(said: str) -> str:
    if "ephemeral-storage" in said or "DiskPressure" in said:
        return "keep weights in a volume (modelyard:kubernetes.weights), or take a size with a larger disk"
    if "memory" in said or "MemoryPressure" in said:
        return "take a size with more memory in resource.instanceType"
    return "it is made again on another node; resource.spot: false keeps nodes that the cloud does not take back"


def _no_sandbox(pod: Json, events: Sequence[Json]) -> Cause | None:
    """A pod whose node cannot even make its network or give it its devices."""
    has_one = text(condition(pod, "PodReadyToStartContainers"), "status") == "True"
    if has_one or text(pod, "status", "phase") != "Pending" or not text(pod, "spec", "nodeName"):
        return None
    failures = event.about(pod, events, "Pod", _NO_SANDBOX)
    if not failures:
        return None
    name, node = name_of(pod), text(pod, "spec", "nodeName")
    return Cause(
        reason="ContainerStartError",
        message=f"node {node} cannot start pod {name}: {cut(event.words(failures[0]))}; check the network plugin and "
        "the drivers of that node",
        pod=name,
    )


def _lost_node(pod: Json, nodes: Mapping[str, Json] | None) -> Cause | None:
    """A node that is gone, or that does not answer: nothing that the pod's status says is true any more."""
    name, node = name_of(pod), text(pod, "spec", "nodeName")
    if nodes is None or not node or text(pod, "status", "phase") in ("Failed", "Succeeded"):
        return None
    if node not in nodes:
        return Cause(
            reason="NodeGone",
            message=f"pod {name} is on node {node}, which is gone; it is made again where there is room: check that "
            "the node pool still has the nodes that it should",
            pod=name,
        )
    ready = condition(nodes[node], "Ready")
    if text(ready, "status") in ("True", ""):
        return None
    said = cut(text(ready, "message")) or text(ready, "reason") or "no reason was given"
    return Cause(
        reason="NodeNotReady",
        message=f"node {node} of pod {name} is not ready: {said}; look at it with kubectl describe node {node}",
        pod=name,
    )


def _node_pressure(pod: Json, nodes: Mapping[str, Json] | None) -> Cause | None:
    name, node = name_of(pod), text(pod, "spec", "nodeName")
    is_fine = text(condition(pod, "Ready"), "status") == "True" or text(pod, "status", "phase") == "Succeeded"
    found = (nodes or {}).get(node, {})
    if is_fine:
        return None
    if text(condition(found, "DiskPressure"), "status") == "True":
        return Cause(
            reason="NodeDiskPressure",
            message=f"the disk of node {node} of pod {name} is almost full; free it, keep weights in a volume "
            "(modelyard:kubernetes.weights), or take a size with a larger disk",
            pod=name,
        )
    if text(condition(found, "MemoryPressure"), "status") == "True":
        return Cause(
            reason="NodeMemoryPressure",
            message=f"the memory of node {node} of pod {name} is almost used up; free the node of other pods, or "
            "take a size with more memory in resource.instanceType",
            pod=name,
        )
    return None
