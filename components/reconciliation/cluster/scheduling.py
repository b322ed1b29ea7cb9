"""What the scheduler says of a pod that it has no node for, as a sentence that says what to do.

Its messages: pkg/scheduler/framework/types.go (FitError) and the plugins' ErrReason constants of Kubernetes 1.36; older
versions name a taint inside of theirs, newer ones do not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from components.reconciliation.cluster import event
from components.reconciliation.cluster.api import Json
from components.reconciliation.cluster.cause import Cause, cut
from components.reconciliation.cluster.containers import is_head
from components.reconciliation.cluster.partial_json import condition, mapping, mappings, name_of, text

_NODES = re.compile(r"0/(?P<nodes>\d+) nodes are available: (?P<body>.*)", re.DOTALL)
_CLAUSE = re.compile(r"(?P<nodes>\d+) (?P<words>.+)")
_LACKS_CLAIM = re.compile(
    r'persistentvolumeclaim "(?P<claim>[^"]+)" (?P<state>not found|is being deleted|bound to non-exist)'
)
_CLAIM_STATES = {
    "not found": "not there",
    "is being deleted": "being deleted",
    "bound to non-exist": "bound to a volume that is gone",
}
_VOLUME = re.compile(r"persistent ?volume|volume node affinity|volume zone|free storage|non-existent pv", re.IGNORECASE)
_NEVER_OURS = ("node-role.kubernetes.io/",)
"""Taints of nodes that are not meant for models."""
_PASSING_TAINTS = ("node.kubernetes.io/", "node.cloudprovider.kubernetes.io/", "karpenter.sh/", "node.cilium.io/")
"""Taints of nodes that are starting, are not well, or are about to go."""
_WORDS = (
    ("untolerated taint", "with a taint that it does not tolerate"),
    ("taints that the pod didn't tolerate", "with a taint that it does not tolerate"),
    ("didn't match Pod's node affinity/selector", "without the labels that it asks for"),
    ("didn't match node selector", "without the labels that it asks for"),
    ("were unschedulable", "cordoned"),
    ("Too many pods", "full of pods"),
    ("anti-affinity", "that it must not share with another pod"),
    ("volume", "that its volume cannot be mounted on"),
)


@dataclass(frozen=True, kw_only=True)
class _Obstacle:
    """Why some of the nodes do not take the pod, in the scheduler's words."""

    nodes: int
    words: str

    @property
    def resource(self) -> str:
        return self.words.removeprefix("Insufficient ") if self.words.startswith("Insufficient ") else ""

    @property
    def sentence(self) -> str:
        if self.resource:
            return f"{self.nodes} with too little {self.resource} free"
        ours = next((ours for theirs, ours in _WORDS if theirs in self.words), self.words.removeprefix("node(s) "))
        taint = re.search(r"\{[^}]+\}", self.words)
        return f"{self.nodes} {ours}" + (f" {taint[0]}" if taint else "")


def unscheduled(pod: Json, nodes: Mapping[str, Json] | None, events: Sequence[Json]) -> Cause | None:
    """None for a pod that has a node, or that the scheduler has not looked at yet."""
    scheduled = condition(pod, "PodScheduled")
    if text(pod, "spec", "nodeName") or text(scheduled, "status") != "False":
        return None
    message = text(scheduled, "message")
    if text(scheduled, "reason") == "SchedulingGated":
        gates = ", ".join(text(gate, "name") for gate in mappings(pod, "spec", "schedulingGates"))
        says = f"is held back by the scheduling gate {gates or 'of a controller'}"
        return _cause(pod, f"{says}; look at the queue that the gate belongs to")
    claim = _LACKS_CLAIM.search(message)
    if claim:
        says = f'PersistentVolumeClaim "{claim["claim"]}" is {_CLAIM_STATES[claim["state"]]}'
        return _no_volume(pod, f"{says}; make it, or correct its name: modelyard:kubernetes.weights.claim", final=True)
    if "unbound immediate PersistentVolumeClaims" in message:
        return _no_volume(pod, _unbound(pod, events))
    total, obstacles = obstacles_of(message)
    if not obstacles:
        return _cause(pod, f"has no node yet: {cut(message) or 'the scheduler gives no reason'}; {_LOOK}")
    listed = ", ".join(obstacle.sentence for obstacle in obstacles)
    return _cause(pod, f"is taken by none of {total} nodes: {cut(listed)}; {_way_out(pod, nodes, obstacles)}")


def obstacles_of(message: str) -> tuple[int, list[_Obstacle]]:
    """How many nodes there are, and why they do not take the pod; what preemption would bring is left out.

    >>> total, found = obstacles_of("0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable.")
    >>> total, [obstacle.sentence for obstacle in found]
    (3, ['1 with too little cpu free', '2 cordoned'])
    """
    match = _NODES.match(message)
    if match is None:
        return 0, []
    body = match["body"].split(". ")[0].rstrip(". ")
    clauses = (_CLAUSE.fullmatch(clause.strip()) for clause in re.split(r", (?=\d+ )", body))
    return int(match["nodes"]), [_Obstacle(nodes=int(one["nodes"]), words=one["words"]) for one in clauses if one]


_LOOK = "look at the cluster's nodes with kubectl get nodes"


def _cause(pod: Json, says: str) -> Cause:
    name = name_of(pod)
    return Cause(reason="Unschedulable", message=f"pod {name or '(unnamed)'} {says}", pod=name)


def _no_volume(pod: Json, says: str, *, final: bool = False) -> Cause:
    """The same reason as when it is the kubelet that finds no volume: the scheduler only looks first."""
    name = name_of(pod)
    return Cause(reason="VolumeMountFailed", message=f"pod {name or '(unnamed)'}: {says}", pod=name, final=final)


def _way_out(pod: Json, nodes: Mapping[str, Json] | None, obstacles: Sequence[_Obstacle]) -> str:
    """What helps most: GPUs first, since whatever lacks them is no node for a model, then what is rarer."""
    lacking = {obstacle.resource for obstacle in obstacles if obstacle.resource}
    gpu = next((resource for resource in sorted(lacking) if "nvidia.com/" in resource), "")
    all_words = " ".join(obstacle.words for obstacle in obstacles)
    if gpu:
        return _more_gpus(pod, nodes, gpu)
    if _VOLUME.search(all_words):
        return f"let its volume be reached from the nodes that fit it ({_claims(pod)})"
    if lacking:
        return _more_room(pod, sorted(lacking))
    taints = _taints_in_the_way(pod, nodes, all_words)
    if taints and all(taint.startswith(_PASSING_TAINTS) for taint in taints):
        return f"wait until the nodes are ready, or see what ails them ({', '.join(taints)})"
    if taints:
        return f"remove the taint {', '.join(taints)} or use nodes without it; it tolerates {_tolerated(pod)}"
    if "node affinity/selector" in all_words or "node selector" in all_words:
        return (
            f"give nodes the labels {_labels(pod)}, or correct resource.labelSelector, instanceType and preferredNodes"
        )
    if "were unschedulable" in all_words:
        return "uncordon a node, or add one"
    return _LOOK


def _more_gpus(pod: Json, nodes: Mapping[str, Json] | None, gpu: str) -> str:
    wanted = f"it asks for {_requested(pod, gpu)}"
    if nodes is not None and not any(_offers(node, gpu) for node in nodes.values()):
        return (
            f"{wanted}, and no node offers any yet: add GPU nodes, or see whether NVIDIA's device plugin runs on them"
        )
    return f"{wanted}: add nodes, or free GPUs by fewer replicas or less resource.count"


def _more_room(pod: Json, lacking: Sequence[str]) -> str:
    wanted = " and ".join(f"{_requested(pod, resource)} of {resource}" for resource in lacking)
    if is_head(pod):
        keys = " and ".join(f"modelyard:kubernetes.head.{key}" for key in lacking if key in ("cpu", "memory"))
        return f"it asks for {wanted}: add a node without GPUs" + (f", or lower {keys}" if keys else "")
    return f"it asks for {wanted}: take a larger size in resource.instanceType, or free the node of other pods"


def _unbound(pod: Json, events: Sequence[Json]) -> str:
    failures = event.newest_first(
        one
        for one in events
        if text(event.subject(one), "kind") == "PersistentVolumeClaim"
        and text(one, "reason") in ("ProvisioningFailed", "FailedBinding")
        and text(event.subject(one), "name") in _claim_names(pod)
    )
    why = f": {cut(event.words(failures[0]))}" if failures else ""
    return f"{_claims(pod)} has no volume yet{why}; check its storage class with kubectl describe pvc"


def _claims(pod: Json) -> str:
    return f"PersistentVolumeClaim {', '.join(_claim_names(pod))}" if _claim_names(pod) else "its PersistentVolumeClaim"


def _claim_names(pod: Json) -> list[str]:
    volumes = mappings(pod, "spec", "volumes")
    return sorted({text(volume, "persistentVolumeClaim", "claimName") for volume in volumes} - {""})


def _requested(pod: Json, resource: str) -> str:
    """
    >>> _requested({"spec": {"containers": [{"resources": {"requests": {"memory": "16Gi"}}}]}}, "memory")
    '16Gi'
    """
    amounts = [
        str(mapping(container, "resources", "requests").get(resource) or "")
        or str(mapping(container, "resources", "limits").get(resource) or "")
        for container in mappings(pod, "spec", "containers")
    ]
    total = " + ".join(amount for amount in amounts if amount) or "more"
    return f"{total} {resource}" if "/" in resource else total


def _offers(node: Json, resource: str) -> bool:
    return str(mapping(node, "status", "allocatable").get(resource, "0")) != "0"


def _taints_in_the_way(pod: Json, nodes: Mapping[str, Json] | None, words: str) -> list[str]:
    """KEY=VALUE of the taints that the scheduler names, or else of those on nodes that the pod does not tolerate."""
    if "taint" not in words:
        return []
    named = {key if not value else f"{key}={value}" for key, value in re.findall(r"\{([^:}]+): ?([^}]*)\}", words)}
    if not named and nodes is not None:
        named = {
            "=".join(part for part in (text(taint, "key"), text(taint, "value")) if part)
            for node in nodes.values()
            for taint in mappings(node, "spec", "taints")
            if text(taint, "effect") != "PreferNoSchedule" and not _tolerates(pod, taint)
        }
    return sorted(taint for taint in named if taint and not taint.startswith(_NEVER_OURS))


def _tolerates(pod: Json, taint: Json) -> bool:
    return any(
        text(toleration, "key") in ("", text(taint, "key"))
        and text(toleration, "effect") in ("", text(taint, "effect"))
        and (text(toleration, "operator") == "Exists" or text(toleration, "value") == text(taint, "value"))
        for toleration in mappings(pod, "spec", "tolerations")
    )


def _tolerated(pod: Json) -> str:
    pairs = (
        (text(toleration, "key"), text(toleration, "value")) for toleration in mappings(pod, "spec", "tolerations")
    )
    return _listed(
        key + (f"={value}" if value else "") for key, value in pairs if not key.startswith("node.kubernetes.io/")
    )


def _labels(pod: Json) -> str:
    """KEY=VALUE of the node labels that the pod asks for by its selector and by required affinity."""
    asked = {f"{key}={value}" for key, value in mapping(pod, "spec", "nodeSelector").items()}
    required = mapping(pod, "spec", "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
    for term in mappings(required, "nodeSelectorTerms"):
        for expression in mappings(term, "matchExpressions"):
            values = expression.get("values")
            listed = "|".join(str(value) for value in values) if isinstance(values, list) else ""
            operator = "" if text(expression, "operator") == "In" else f" {text(expression, 'operator')} "
            asked.add(f"{text(expression, 'key')}{operator or '='}{listed}".rstrip("= "))
    return _listed(asked)


def _listed(words: Iterable[str]) -> str:
    return ", ".join(sorted({word for word in words if word})) or "none"
