"""A workspace on a cluster: its nodes, what serves on them, and the wait until it answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pulumi

from components.cluster_objects import cluster_object
from components.gpu_node_pool import GpuNodePool, GpuNodePoolArgs
from components.planning.manifests.scope import Scope
from components.planning.manifests.wanted import reconciliation_inputs
from components.planning.manifests.workspace import workspace_manifests
from components.planning.placed import PlacedWorkspace
from components.planning.record import placed_record
from components.reconciliation.cluster.resources import ClusterWorkspace


class KubernetesWorkspace(pulumi.ComponentResource):
    """The same type as components.workspace.Workspace: a workspace that moves to a cluster keeps its URN."""

    objects: list[pulumi.Resource]
    """What was applied for it, in order."""

    def __init__(
        self,
        plan: PlacedWorkspace,
        scope: Scope,
        target: str,
        *,
        beside: bool,
        shared: Sequence[pulumi.Resource],
        opts: pulumi.ResourceOptions,
    ) -> None:
        """shared: what all workspaces of the stack need first. beside: as in ray_service."""
        super().__init__("modelyard:index:Workspace", plan.name, None, opts)
        self._plan, self._scope, self._beside = plan, scope, beside
        manifests = workspace_manifests(plan, scope, beside=beside)
        self._main = manifests.service[-1]
        where = f"{plan.nodes} x {plan.node.name}" if plan.node else "existing nodes"
        args = GpuNodePoolArgs(where=where, nodes=plan.nodes, gpus=plan.gpus, objects=manifests.nodes, after=shared)
        pool = GpuNodePool(f"{plan.name}-nodes", args, pulumi.ResourceOptions(parent=self))
        service = _Service(f"{plan.name}-service", pulumi.ResourceOptions(parent=self))
        child = pulumi.ResourceOptions(parent=service)
        self.objects = [*pool.objects]
        for manifest in manifests.service:
            before = [*shared, *self.objects]
            self.objects.append(cluster_object(manifest, child, before if manifest is self._main else shared))
        self._where = where
        self.register_outputs({"plan": placed_record(plan, target, scope.currency)})

    def reconcile(self, project: str, after: Sequence[pulumi.Resource]) -> pulumi.Output[dict[str, Any]]:
        """Wait for it once everything of the stack is applied, so that all workspaces start at the same time; what the
        stack exports of it."""
        plan, scope = self._plan, self._scope
        inputs = reconciliation_inputs(plan, scope, self._main, beside=self._beside, project=project)
        resource = ClusterWorkspace(
            f"{plan.name}-ready",
            {
                "name": plan.name,
                "namespace": scope.namespace,
                "kubeconfig": scope.spec.kubeconfig,
                "context": scope.spec.context,
                "wanted": inputs.wanted,
                "mirror": inputs.mirror,
                "endpoint": inputs.endpoint,
                "readyTimeoutSeconds": plan.spec.ready_timeout_seconds,
            },
            pulumi.ResourceOptions(parent=self, depends_on=list(after)),
        )
        adapters = plan.spec.inference.adapters if plan.spec.inference else []
        return pulumi.Output.from_input(
            {
                "endpoint": inputs.endpoint,
                "models": [plan.name, *(f"{plan.name}:{each.source.name}" for each in adapters)],
                "preset": plan.preset,
                "where": self._where,
                "nodes": resource.workerNodes,
                "replicas": plan.replicas,
                "perHour": plan.per_hour,
                "conditions": resource.conditions,
                "phases": resource.phases,
                "performance": resource.performance,
                "createdAt": resource.createdAt,
                "versions": {"ray": resource.rayVersion, "code": scope.delivery.digest},
            }
        )


class _Service(pulumi.ComponentResource):
    """What serves, as components.inference_service.InferenceService is on this machine."""

    def __init__(self, name: str, opts: pulumi.ResourceOptions) -> None:
        super().__init__("modelyard:index:InferenceService", name, None, opts)
        self.register_outputs({})
