"""What stands around a workspace's pods: their identity, who may reach them, and how many may go at once."""

from __future__ import annotations

from typing import Any

from components.planning.manifests.scope import PART_LABEL, WORKSPACE_LABEL, Manifest, Scope, metadata
from components.planning.manifests.serving import PORT
from components.planning.placed import PlacedWorkspace


def guards(workspace: PlacedWorkspace, scope: Scope) -> list[Manifest]:
    """Of a workspace that serves a preset."""
    found = [_service_account(workspace, scope)]
    if scope.spec.network_policy:
        found.append(_network_policy(workspace, scope))
    if workspace.replicas > 1:
        found.append(_disruption_budget(workspace, scope))
    return found


def _service_account(workspace: PlacedWorkspace, scope: Scope) -> Manifest:
    """Without any permission, and without a token in the pods."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata(scope, workspace.name, workspace.name),
        "automountServiceAccountToken": False,
    }


def _network_policy(workspace: PlacedWorkspace, scope: Scope) -> Manifest:
    """Everybody reaches the endpoint; Ray's own ports, which run what they are sent, only those who need them.

    kube-system is where a managed cluster's API server comes from (konnectivity): by it pulumi reaches the dashboard.
    """
    own = {"podSelector": {"matchLabels": {WORKSPACE_LABEL: workspace.name}}}
    operator = {"namespaceSelector": {}, "podSelector": {"matchLabels": {"app.kubernetes.io/name": "kuberay-operator"}}}
    system = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(scope, workspace.name, workspace.name),
        "spec": {
            "podSelector": own["podSelector"],
            "policyTypes": ["Ingress"],
            "ingress": [{"from": [own, operator, system]}, {"ports": [{"port": PORT, "protocol": "TCP"}]}],
        },
    }


def _disruption_budget(workspace: PlacedWorkspace, scope: Scope) -> Manifest:
    """A node that is drained takes one replica at a time. With a single one there is nothing to keep: a budget would
    only keep the node from ever being drained."""
    selector: dict[str, Any] = {"matchLabels": {WORKSPACE_LABEL: workspace.name, PART_LABEL: "worker"}}
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(scope, workspace.name, workspace.name),
        "spec": {"maxUnavailable": 1, "selector": selector},
    }
