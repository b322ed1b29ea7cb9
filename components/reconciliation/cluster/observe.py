"""Looks at one workspace through the API server."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

from components.planning.manifests.scope import WORKSPACE_LABEL
from components.reconciliation.adapters import wanted_adapters
from components.reconciliation.cluster import event
from components.reconciliation.cluster.api import ClusterApi, Forbidden, Json, forbidden
from components.reconciliation.cluster.lists import Lists
from components.reconciliation.cluster.partial_json import condition, name_of, text
from components.reconciliation.cluster.paths import KARPENTER, RAY, namespaced, of_cluster, service_proxy
from components.reconciliation.cluster.ray_service import watched_cluster, worker_pods
from components.reconciliation.cluster.values import Seen, Wanted
from components.reconciliation.serve_answers import application_of, readiness_of
from components.reconciliation.state import Application, Readiness, ReplicaAdapters

SERVE_PORT = "serve"
"""Name of the port of a workspace's Service."""
_DASHBOARD = "dashboard"
_READY_SECONDS = 10.0
_DASHBOARD_SECONDS = 15.0
_OK = 200
_FORBIDDEN = 403
_ASKS_PER_REPLICA = 4
_CORE = "/api/v1"
_APPS = "/apis/apps/v1"


def observe(api: ClusterApi, lists: Lists, wanted: Wanted) -> Seen:
    """What is there. Raises ClusterUnreachable, NoLogin and Forbidden; what does not exist is seen as not there."""
    ours = {WORKSPACE_LABEL: wanted.name}
    pods = tuple(lists.items(namespaced(_CORE, wanted.namespace, "pods"), ours))
    settled = bool(pods) and all(text(condition(pod, "Ready"), "status") == "True" for pod in pods)
    claims, pools = _provisioning(lists, wanted)
    services = lists.items(namespaced(_CORE, wanted.namespace, "services"))
    seen = Seen(pods=pods, nodes=_nodes(lists), claims=claims, pools=pools, endpoint=_named(services, wanted.name))
    if wanted.kind == "template":
        seen, makers = _with_deployment(lists, wanted, seen)
    else:
        seen = _with_ray(api, lists, wanted, seen)
        makers = [*seen.jobs, *seen.clusters.values()]
    # Events tell why something does not go on; while all goes well nobody reads them.
    return seen if settled else replace(seen, events=_events(lists, wanted, [*pods, *claims, *makers]))


def _with_deployment(lists: Lists, wanted: Wanted, seen: Seen) -> tuple[Seen, list[Json]]:
    """And the ReplicaSets, whose events tell of pods that could not be made."""
    ours = {WORKSPACE_LABEL: wanted.name}
    deployments = lists.items(namespaced(_APPS, wanted.namespace, "deployments"), ours)
    return replace(seen, main=_named(deployments, wanted.name)), lists.items(
        namespaced(_APPS, wanted.namespace, "replicasets"), ours
    )


def _with_ray(api: ClusterApi, lists: Lists, wanted: Wanted, seen: Seen) -> Seen:
    ours, namespace = {WORKSPACE_LABEL: wanted.name}, wanted.namespace
    main = _named(lists.items(namespaced(RAY, namespace, "rayservices")), wanted.name)
    clusters = lists.items(namespaced(RAY, namespace, "rayclusters"), ours)
    jobs = lists.items(namespaced("/apis/batch/v1", namespace, "jobs"), ours)
    watched = watched_cluster(main) if main is not None else ""
    app, silence = application_on(api, namespace, watched) if _head_answers(seen.pods, watched) else (None, "")
    readiness = ready_answer(api, namespace, wanted.name) if app is not None and seen.endpoint is not None else None
    return replace(
        seen,
        main=main,
        clusters={name_of(cluster): cluster for cluster in clusters},
        jobs=tuple(jobs),
        application=app,
        silence=silence,
        readiness=readiness,
        adapters=_adapters(api, wanted, worker_pods(seen.pods, watched), app, readiness),
    )


def application_on(api: ClusterApi, namespace: str, cluster: str) -> tuple[Application | None, str]:
    """The application on a Ray, None if it knows none; and why its dashboard cannot be asked, "" if it answers.

    Raises Forbidden where the login may not use the API server's proxy.
    """
    path = service_proxy(namespace, f"{cluster}-head-svc", _DASHBOARD, "/api/serve/applications/")
    status, body = api.through("GET", path, seconds=_DASHBOARD_SECONDS)
    if status == _FORBIDDEN:
        raise forbidden(body, api.login)
    if status != _OK:
        words = _json(body).get("message") or body[:200].decode(errors="replace")
        return None, f"the API server cannot ask Ray's dashboard ({status}: {words})"
    apps = cast("dict[str, Json]", _json(body).get("applications") or {})
    return (application_of(next(iter(apps.values()))) if apps else None), ""


def ready_answer(api: ClusterApi, namespace: str, service: str) -> Readiness | None:
    """What the service says of itself; None when it does not answer."""
    return _readiness(api, service_proxy(namespace, service, SERVE_PORT, "/ready"))


def _readiness(api: ClusterApi, path: str) -> Readiness | None:
    status, body = api.through("GET", path, seconds=_READY_SECONDS)
    answer = _json(body)
    # The API server's own refusals are objects of kind Status.
    return None if not answer or answer.get("kind") == "Status" else readiness_of(status, answer)


def _adapters(
    api: ClusterApi, wanted: Wanted, workers: Sequence[Json], app: Application | None, first: Readiness | None
) -> tuple[ReplicaAdapters, ...]:
    """What each replica says of its adapters. A pod's proxy asks the replica in its own pod first."""
    if app is None or first is None or first.adapters is None or not wanted_adapters(wanted.application):
        return ()
    heard = {first.replica: first.adapters}
    for pod in [*workers] * _ASKS_PER_REPLICA:
        if len(heard) >= app.running:
            break
        answer = _readiness(api, f"/api/v1/namespaces/{wanted.namespace}/pods/{name_of(pod)}:8000/proxy/ready")
        if answer is not None and answer.adapters is not None:
            heard[answer.replica] = answer.adapters
    return tuple(heard.values())


def _nodes(lists: Lists) -> dict[str, Json] | None:
    try:
        return {name_of(node): node for node in lists.items(of_cluster(_CORE, "nodes"))}
    except Forbidden:
        return None


def _provisioning(lists: Lists, wanted: Wanted) -> tuple[tuple[Json, ...], tuple[Json, ...]]:
    """NodeClaims and the NodePool of the workspace."""
    if wanted.nodes.source == "existing":
        return (), ()
    try:
        claims = lists.items(of_cluster(KARPENTER, "nodeclaims"), wanted.nodes.selector)
        pools = lists.items(of_cluster(KARPENTER, "nodepools"))
    except Forbidden:
        return (), ()
    pool = _named(pools, wanted.nodes.name)
    return tuple(claims), () if pool is None else (pool,)


def _events(lists: Lists, wanted: Wanted, objects: Sequence[Json]) -> tuple[Json, ...]:
    """Of these objects; and all of namespace default, where those of NodePools and NodeClaims are, some of which are
    gone: neither has a namespace."""
    found = event.of_objects(lists.items(namespaced(_CORE, wanted.namespace, "events")), objects)
    if wanted.nodes.source == "existing":
        return tuple(found)
    try:
        return (*found, *lists.items(namespaced(_CORE, "default", "events")))
    except Forbidden:
        return tuple(found)


def log_tail(api: ClusterApi, namespace: str, pod: str, container: str, lines: int = 15) -> str:
    """The last lines of a container, of its run before this one where it was started again; "" if there are none."""
    path = f"/api/v1/namespaces/{namespace}/pods/{pod}/log"
    query = f"?container={container}&tailLines={lines}"
    for previous in ("&previous=true", ""):
        status, body = api.through("GET", f"{path}{query}{previous}")
        if status == _OK and body.strip():
            return body.decode(errors="replace").strip()
    return ""


def _head_answers(pods: Sequence[Json], cluster: str) -> bool:
    """Whether the head's pod is Ready, so that its dashboard can be asked."""
    return any(
        text(pod, "metadata", "labels", "ray.io/cluster") == cluster
        and text(pod, "metadata", "labels", "ray.io/node-type") == "head"
        and text(condition(pod, "Ready"), "status") == "True"
        for pod in pods
    )


def _named(items: Sequence[Json], name: str) -> Json | None:
    return next((item for item in items if name_of(item) == name), None)


def _json(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}
