"""A workspace: one model, the nodes it runs on, and its endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi

from components.gpu_node_pool import GpuNodePool, GpuNodePoolArgs
from components.inference_service import InferenceService, InferenceServiceArgs
from components.planning.local_plan import WorkspacePlan
from components.planning.record import local_record
from components.ray_cluster import RayCluster
from components.tuning_job import TuningWorkspace


class Workspace(pulumi.ComponentResource):
    """What KAITO's users know as a Workspace, without a controller: the update itself reconciles it."""

    status: pulumi.Output[dict[str, Any]]
    """What the stack exports of it."""

    def __init__(
        self,
        plan: WorkspacePlan,
        ray: RayCluster,
        tunings: Mapping[str, TuningWorkspace],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """tunings: those of the stack, by name."""
        super().__init__("modelyard:index:Workspace", plan.name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        machine = GpuNodePoolArgs(where=plan.where, nodes=1, gpus=round(plan.num_gpus * plan.replicas))
        nodes = GpuNodePool(f"{plan.name}-nodes", machine, child)
        args = InferenceServiceArgs(plan=plan, nodes=nodes, ray=ray, tunings=tunings)
        service = InferenceService(f"{plan.name}-service", args, child)
        application = service.application
        self.status = pulumi.Output.from_input(
            {
                "endpoint": service.endpoint,
                "models": [plan.name, *(f"{plan.name}:{adapter.name}" for adapter in plan.settings.adapters)],
                "preset": plan.preset,
                "where": plan.where,
                "replicas": plan.replicas,
                "conditions": service.conditions,
                "phases": application.phases,
                "createdAt": application.createdAt,
                "versions": {
                    "ray": application.rayVersion,
                    "code": plan.serve_args.code_version,
                    "weights": application.weightsDigest,
                },
            }
        )
        self.register_outputs({"status": self.status, "plan": local_record(plan)})
