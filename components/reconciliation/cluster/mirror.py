"""The mirror that kubectl's users look at: an object of kind Workspace for each workspace, and its events.

Reconciliation writes it and never reads it to decide anything. It is a courtesy: whatever a cluster says no with is a
sentence for the caller to show, and no update fails by it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any, cast

import yaml
from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

from components.fingerprints import PROJECT
from components.planning.manifests.scope import STACK_LABEL, WORKSPACE_LABEL
from components.reconciliation.cluster.api import ClusterApi, ClusterError, Conflict, Forbidden, Json, Refused
from components.reconciliation.cluster.paths import MODELYARD, namespaced, of_cluster
from components.reconciliation.state import Condition

KIND_FILE = PROJECT / "deploy" / "workspace-crd.yaml"
KIND_VERSION = "modelyard.dev/crd-version"
MIRROR = "modelyard.dev/mirror"

UNDERWAY = frozenset(
    {"AdaptersLoading", "Deleting", "Deploying", "EndpointSilent", "EngineDraining", "EngineStarting", "EngineStopped",
     "NodesProvisioning", "PodsPending", "RayStarting", "Replacing", "ReplicasEnding", "ReplicasStarting", "Retrying",
     "Switching", "WaitingForKubeRay", "WorkersScaling"}
)  # fmt: skip
"""Reasons of what only takes time: no warning, unless the condition was True before or waiting is over."""

_NO_KIND = (
    "kubectl get workspace shows nothing: the CRD is not installed and this login may not install it; ask an "
    "administrator to kubectl apply -f deploy/workspace-crd.yaml"
)
_ESTABLISHED_SECONDS = 10
_POLL_SECONDS = 0.2
_MESSAGE_LENGTH = 32768
_EVENT_LENGTH = 1024
_COMPONENT = "modelyard"
_TYPE = {"apiVersion": MODELYARD.removeprefix("/apis/"), "kind": "Workspace"}


@dataclass(frozen=True, kw_only=True)
class MirrorSpec:
    """One workspace as the plan has it. `kind` is inference, template or tuning; a template has no model."""

    namespace: str
    name: str
    stack: str
    project: str
    kind: str
    model: str = ""
    instance: str
    """Where it runs: a node size, or the product of nodes that were there already."""
    nodes: int
    replicas: int | None = None
    """None where nothing is served."""
    adapters: Sequence[str] = ()
    cost: str = ""
    """As people read it: US$ 3.67/h."""


@dataclass(frozen=True, kw_only=True)
class Performance:
    """What the end of a start measured."""

    tokens_per_minute: float
    time_to_first_token_seconds: float


@dataclass(frozen=True, kw_only=True)
class MirrorStatus:
    """One workspace as it was found."""

    conditions: Sequence[Condition]
    endpoint: str = ""
    phases: Mapping[str, float] = field(default_factory=dict[str, float])
    """Seconds by phase of the last start."""
    performance: Performance | None = None
    worker_nodes: Sequence[str] = ()
    final: bool = False
    """Whether waiting is over: what is not True now is a warning."""


def utc_now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True, kw_only=True)
class Owner:
    """The object that serves: with it the mirror goes, be it by hand. Named as in an ownerReference."""

    apiVersion: str
    kind: str
    name: str
    uid: str


class Mirror:
    """The mirror of one workspace. It remembers what it wrote, so that no change is no request."""

    def __init__(self, api: ClusterApi, now: Callable[[], str] = utc_now) -> None:
        self._api = api
        self._now = now
        self._written = ""
        self._forbidden = ""

    def write(self, spec: MirrorSpec, status: MirrorStatus, owner: Owner | None = None) -> str:
        """Make object, status and events what they should be; "" or a sentence why they are not. Never raises.

        Two requests, whatever somebody has made of the object meanwhile, and one to three for each condition that tells
        something new; none if spec and status are those of the last write. A login that may not is asked once.
        """
        wanted = json.dumps([workspace_object(spec, owner), status_fields(status)], sort_keys=True)
        if wanted == self._written or self._forbidden:
            return self._forbidden
        try:
            found = self._apply(spec, owner)
            self._api.apply(f"{_path(spec.namespace, spec.name)}/status", status_object(status, found, self._now()))
        except ClusterError as problem:
            sentence = f"kubectl get workspace does not show {spec.name} as it is: {problem}"
            self._forbidden = sentence if isinstance(problem, Forbidden) else ""
            return sentence
        self._written = wanted
        return self._tell(spec, status, found)

    def _apply(self, spec: MirrorSpec, owner: Owner | None) -> Json:
        """The object as it is then, with the status that it had before."""
        path, manifest = _path(spec.namespace, spec.name), workspace_object(spec, owner)
        try:
            return self._api.apply(path, manifest)
        except Refused as refusal:
            if not _is_other_kind(refusal):
                raise
        self._api.delete(path)
        return self._api.apply(path, manifest)

    def _tell(self, spec: MirrorSpec, status: MirrorStatus, found: Json) -> str:
        before = {each["type"]: each for each in _conditions(found)}
        try:
            for condition in status.conditions:
                if is_news(condition, before.get(condition.type), final=status.final):
                    kind = event_type(condition, before.get(condition.type), final=status.final)
                    self._record(event_object(found, condition, kind, self._now()))
        except ClusterError as problem:
            return f"kubectl describe workspace {spec.name} shows no events: {problem}"
        return ""

    def _record(self, event: Json) -> None:
        path = namespaced("/api/v1", event["metadata"]["namespace"], "events")
        try:
            self._api.create(path, event)
        except Conflict:
            where = f"{path}/{event['metadata']['name']}"
            again = {key: event[key] for key in ("lastTimestamp", "message", "type")}
            self._api.merge(where, again | {"count": int(self._api.get(where).get("count") or 0) + 1})


def ensure_kind(api: ClusterApi, seconds: float = _ESTABLISHED_SECONDS) -> str:
    """Install the kind if it is missing or older than this program's; "" or a sentence why there is no mirror."""
    ours = kind_definition()
    path = of_cluster("/apis/apiextensions.k8s.io/v1", "customresourcedefinitions", ours["metadata"]["name"])
    try:
        found = api.find(path)
        if found is None or is_older(found, ours):
            found = api.apply(path, ours)
        return "" if is_established(found) else _wait_established(api, path, seconds)
    except Forbidden:
        return _without_permission(api)
    except ClusterError as problem:
        return f"kubectl get workspace shows nothing: {problem}"


def remove(api: ClusterApi, namespace: str, name: str) -> str:
    """Take a workspace out of the mirror; "" or a sentence why it is still shown. Its events expire by themselves."""
    try:
        api.delete(_path(namespace, name))
    except ClusterError as problem:
        return f"kubectl get workspace still shows {name}: {problem}"
    return ""


def lack(api: ClusterApi, namespace: str, name: str) -> str:
    """A sentence if a workspace that was in the mirror is not there any more; "" if it is. Raises as a request does."""
    if api.find(_path(namespace, name)) is not None:
        return ""
    return f"kubectl get workspace does not show {name} any more: the object or its kind was deleted"


def _wait_established(api: ClusterApi, path: str, seconds: float) -> str:
    waiting = Retrying(
        retry=retry_if_result(lambda found: not is_established(cast("Json", found))),
        stop=stop_after_delay(seconds),
        wait=wait_fixed(_POLL_SECONDS),
    )
    try:
        waiting(api.get, path)
    except RetryError as late:
        found = cast("Json", late.last_attempt.result())
        wrong = [each.get("message") for each in _conditions(found) if each["status"] == "False"]
        return f"kubectl get workspace shows nothing: its CRD is not established after {seconds:.0f} s ({wrong})"
    return ""


def _without_permission(api: ClusterApi) -> str:
    """Whoever may not read CRDs can still ask which kinds are served."""
    try:
        served = api.find(MODELYARD)
    except ClusterError:
        served = None
    kinds = {each.get("kind") for each in (served or {}).get("resources") or []}
    return "" if "Workspace" in kinds else _NO_KIND


@cache
def kind_definition() -> Json:
    """The CustomResourceDefinition of this program."""
    return cast("Json", yaml.safe_load(KIND_FILE.read_text(encoding="utf-8")))


def is_older(found: Json, ours: Json) -> bool:
    """Whether the kind that is found is to be replaced: a lower number, or the same with another digest."""
    theirs, mine = _version(found), _version(ours)
    return theirs != mine and theirs[0] <= mine[0]


def is_established(found: Json) -> bool:
    return any(each["type"] == "Established" and each["status"] == "True" for each in _conditions(found))


def workspace_object(spec: MirrorSpec, owner: Owner | None = None) -> Json:
    """What is applied to the object; its spec is all of the spec."""
    return {
        **_TYPE,
        "metadata": {
            "name": spec.name,
            "namespace": spec.namespace,
            "labels": {
                "app.kubernetes.io/managed-by": _COMPONENT,
                STACK_LABEL: label_value(spec.stack),
                WORKSPACE_LABEL: spec.name,
            },
            "annotations": {MIRROR: kind_definition()["metadata"]["annotations"][MIRROR]},
            **({"ownerReferences": [vars(owner)]} if owner is not None else {}),
        },
        "spec": _without_empty(
            stack=spec.stack,
            project=spec.project,
            kind=spec.kind,
            model=spec.model,
            replicas=spec.replicas,
            adapters=list(spec.adapters),
            cost=spec.cost,
        )
        | {"instance": spec.instance, "nodes": spec.nodes},
    }


def status_fields(status: MirrorStatus) -> Json:
    """The status without what every write differs in."""
    measured = status.performance
    performance = measured and {
        "tokensPerMinute": measured.tokens_per_minute,
        "timeToFirstTokenSeconds": measured.time_to_first_token_seconds,
    }
    return _without_empty(
        conditions=[_condition(each) for each in status.conditions],
        endpoint=status.endpoint,
        reason=first_reason(status.conditions),
        phases=dict(status.phases),
        performance=performance,
        workerNodes=list(status.worker_nodes),
    )


def status_object(status: MirrorStatus, found: Json, now: str) -> Json:
    """What is applied to the status of the object `found`, whose generation it belongs to."""
    generation = {"observedGeneration": found["metadata"]["generation"]}
    fields = status_fields(status)
    conditions = [each | generation for each in fields.pop("conditions", [])]
    return {**_TYPE, "status": {**fields, "conditions": conditions, **generation, "updatedAt": now}}


def first_reason(conditions: Iterable[Condition]) -> str:
    """Why the workspace is not ready; "" if it is."""
    wrong = [each for each in conditions if each.type == "WorkspaceReady" and each.status != "True"]
    return wrong[0].reason if wrong else ""


def is_news(condition: Condition, before: Mapping[str, Any] | None, *, final: bool) -> bool:
    """Whether a condition deserves an event; at the end of a wait, words that changed are news as well."""
    if before is None or (before["status"], before["reason"]) != (condition.status, condition.reason):
        return True
    return final and condition.status != "True" and before["message"] != _condition(condition)["message"]


def event_type(condition: Condition, before: Mapping[str, Any] | None, *, final: bool) -> str:
    """Warning for what is wrong and for what was right before, Normal for what is well or takes its time."""
    if condition.status != "False":
        return "Normal"
    was_true = before is not None and before["status"] == "True"
    return "Warning" if final or was_true or condition.reason not in UNDERWAY else "Normal"


def event_object(found: Json, condition: Condition, kind: str, now: str) -> Json:
    """An event on the object `found`; its name follows from what it says, so that a repetition is a higher count."""
    owner = {key: found["metadata"][key] for key in ("name", "namespace", "uid")}
    told = hashlib.sha256(f"{owner['uid']}/{condition.type}/{condition.reason}".encode()).hexdigest()[:16]
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{owner['name']}.{told}", "namespace": owner["namespace"]},
        "involvedObject": {**_TYPE, **owner},
        "type": kind,
        "reason": condition.reason,
        "message": _cut(f"{condition.type} is {condition.status}: {condition.message}", _EVENT_LENGTH),
        "count": 1,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "source": {"component": _COMPONENT},
        "reportingComponent": _COMPONENT,
    }


def label_value(text: str) -> str:
    """A text as a label may have it: 63 characters, letters or digits at its ends.

    >>> label_value("-prod-eu_"), len(label_value("s" * 100))
    ('prod-eu', 63)
    """
    return text.strip("-_.")[:63].strip("-_.")


def _is_other_kind(refusal: Refused) -> bool:
    """Whether the object is a leftover of another kind of workspace, which cannot become this one."""
    causes = (refusal.details.get("details") or {}).get("causes") or []
    return refusal.status == 422 and any(cause.get("field") == "spec.kind" for cause in causes)


def _version(definition: Json) -> tuple[int, str]:
    text = str((definition["metadata"].get("annotations") or {}).get(KIND_VERSION, ""))
    number, _, digest = text.partition("-")
    return (int(number) if number.isdecimal() else 0), digest


def _conditions(found: Json) -> list[Json]:
    return cast("list[Json]", (found.get("status") or {}).get("conditions") or [])


def _condition(condition: Condition) -> Json:
    return {**condition.to_output(), "message": _cut(condition.message, _MESSAGE_LENGTH)}


def _path(namespace: str, name: str) -> str:
    return namespaced(MODELYARD, namespace, "workspaces", name)


def _without_empty(**fields: object) -> Json:
    return {key: value for key, value in fields.items() if value not in ("", None, [], {})}


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
