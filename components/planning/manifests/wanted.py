"""What the reconciliation of one workspace is told: the plan in plain values, as canonical JSON in Pulumi's state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from components.planning.manifests.exposure import inside_url, outside_url
from components.planning.manifests.nodes import gpu_resource, placing, pool_name
from components.planning.manifests.scope import DIGEST_ANNOTATION, NODES_LABEL, Manifest, Scope
from components.planning.manifests.serving import application_of
from components.planning.money import per_hour
from components.planning.placed import Alternative, PlacedWorkspace
from components.planning.render import canonical_json


@dataclass(frozen=True, kw_only=True)
class ReconciliationInputs:
    """Inputs of the dynamic resource, but for the login."""

    wanted: str
    """components.reconciliation.cluster.values.Wanted, without name and namespace."""
    mirror: str
    """components.reconciliation.cluster.mirror.MirrorSpec."""
    endpoint: str
    """The OpenAI base URL; of a template, its Service."""


def reconciliation_inputs(
    workspace: PlacedWorkspace, scope: Scope, main: Manifest, *, beside: bool, project: str
) -> ReconciliationInputs:
    """main: the RayService or the Deployment."""
    served = workspace.kind == "inference"
    wanted: dict[str, Any] = {
        "kind": workspace.kind,
        "nodes": _nodes(workspace, scope),
        "replicas": workspace.replicas,
        "application": application_of(workspace, scope, surge=beside) if served else {},
        "pods": main["metadata"]["annotations"][DIGEST_ANNOTATION] if served else "",
        "beside": beside,
        "service_type": "LoadBalancer" if workspace.spec.load_balancer else "ClusterIP",
    }
    mirror: dict[str, Any] = {
        "namespace": scope.namespace,
        "name": workspace.name,
        "stack": scope.stack,
        "project": project,
        "kind": workspace.kind,
        "model": workspace.preset,
        "instance": workspace.node.size_name if workspace.node else "existing nodes",
        "nodes": workspace.nodes,
        "replicas": workspace.replicas,
        "adapters": _adapters(workspace),
        "cost": "" if workspace.per_hour is None else per_hour(workspace.per_hour, scope.currency),
    }
    endpoint = outside_url(workspace.name, scope) or inside_url(workspace.name, scope)
    if not served:
        endpoint = endpoint.removesuffix("/v1")
    return ReconciliationInputs(wanted=canonical_json(wanted), mirror=canonical_json(mirror), endpoint=endpoint)


def _nodes(workspace: PlacedWorkspace, scope: Scope) -> dict[str, Any]:
    node, made = workspace.node, scope.spec.nodes != "existing"
    name = pool_name(workspace, scope)
    return {
        "source": scope.spec.nodes,
        "count": workspace.nodes,
        "selector": {NODES_LABEL: name} if made else placing(workspace, scope).node_selector,
        "name": name if made else "",
        "gpus": node.gpus if node else 0,
        "gpu": node.gpu.name if node else "",
        "memory_gib": node.gpu.memory_gib if node else 0.0,
        "resource": gpu_resource(node),
        "otherwise": _otherwise(workspace.alternatives, scope.currency),
    }


def _otherwise(alternatives: tuple[Alternative, ...], currency: str) -> str:
    """The next cheapest plan, for whoever reads that the nodes cannot be had."""
    fitting = next((each for each in alternatives if not each.reason), None)
    if fitting is None:
        return ""
    money = "" if fitting.per_hour is None else f", {per_hour(fitting.per_hour, currency)}"
    return f"the next cheapest that fits is {fitting.nodes} x {fitting.size}{money}: resource.instanceType"


def _adapters(workspace: PlacedWorkspace) -> list[str]:
    inference = workspace.spec.inference
    return sorted(each.source.name or "" for each in inference.adapters) if inference else []
