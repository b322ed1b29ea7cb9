"""A workspace with a pod template of the user's own: a Deployment on the workspace's nodes, and a Service before it."""

from __future__ import annotations

import copy
from typing import Any, cast

from components.planning.manifests.exposure import SERVICE_PORT
from components.planning.manifests.nodes import placing
from components.planning.manifests.scope import PART_LABEL, WORKSPACE_LABEL, Manifest, Scope, labels, metadata
from components.planning.placed import PlacedWorkspace

PART = "template"
MIN_READY_SECONDS = 10
DEFAULT_PORT = 5000
"""Of a template whose containers name none; KAITO's images listen there."""


def template_manifests(workspace: PlacedWorkspace, scope: Scope) -> list[Manifest]:
    """The template is the user's: it gets the nodes' labels and tolerations, and ours, and is otherwise as written."""
    inference = workspace.spec.inference
    assert inference is not None
    assert inference.template is not None
    template = copy.deepcopy(inference.template)
    spec: dict[str, Any] = template.get("spec") or {}
    template["spec"] = spec
    where = placing(workspace, scope)
    spec["nodeSelector"] = {**(spec.get("nodeSelector") or {}), **where.node_selector}
    own = cast("list[dict[str, str]]", spec.get("tolerations") or [])
    spec["tolerations"] = [*own, *(dict(each) for each in where.tolerations if dict(each) not in own)]
    if where.affinity and "affinity" not in spec:
        spec["affinity"] = where.affinity
    meta: dict[str, Any] = template.get("metadata") or {}
    template["metadata"] = meta
    meta["labels"] = {**(meta.get("labels") or {}), **labels(scope, workspace.name), PART_LABEL: PART}
    selector = {WORKSPACE_LABEL: workspace.name, PART_LABEL: PART}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(scope, workspace.name, workspace.name),
        "spec": {
            "replicas": workspace.replicas,
            # A container without a readiness probe counts as ready when it starts, be it to end a moment later.
            "minReadySeconds": MIN_READY_SECONDS,
            "selector": {"matchLabels": selector},
            # The nodes hold as many pods as there are replicas: an old one goes before a new one comes.
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}},
            "template": template,
        },
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(scope, workspace.name, workspace.name),
        "spec": {
            "type": "LoadBalancer" if workspace.spec.load_balancer else "ClusterIP",
            "selector": selector,
            "ports": [{"name": "http", "port": SERVICE_PORT, "protocol": "TCP", "targetPort": port_of(template)}],
        },
    }
    return [service, deployment]


def port_of(template: dict[str, Any]) -> int:
    """The first port that a container names.

    >>> port_of({"spec": {"containers": [{"name": "a"}, {"name": "b", "ports": [{"containerPort": 8080}]}]}})
    8080
    """
    spec: dict[str, Any] = template.get("spec") or {}
    containers: list[dict[str, Any]] = spec.get("containers") or []
    for container in containers:
        ports: list[dict[str, Any]] = container.get("ports") or []
        for port in ports:
            return int(port["containerPort"])
    return DEFAULT_PORT
