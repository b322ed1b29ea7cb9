"""A workspace that makes an adapter."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

import pulumi

from components.gpu_node_pool import GpuNodePool, GpuNodePoolArgs
from components.planning.local_tuning import TuningPlan
from components.planning.record import tuning_record
from components.planning.render import canonical_json
from components.ray_cluster import RayCluster
from components.reconciliation.tuning.resources import AdapterPromotion, TuningRun


class TuningWorkspace(pulumi.ComponentResource):
    """The same type as components.workspace.Workspace; what it has of its own is a TuningJob."""

    status: pulumi.Output[dict[str, Any]]
    """What the stack exports of it."""
    promoted: pulumi.Output[str]
    """The source of the adapter's version that is served."""
    versions: pulumi.Output[str]
    """Directory of all versions."""

    def __init__(self, plan: TuningPlan, ray: RayCluster, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("modelyard:index:Workspace", plan.name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        machine = GpuNodePoolArgs(where=plan.where, nodes=1, gpus=plan.num_gpus)
        nodes = GpuNodePool(f"{plan.name}-nodes", machine, child)
        job = TuningJob(f"{plan.name}-tuning", plan, nodes, ray, child)
        self.promoted = job.promotion.source
        self.versions = job.run.adapterDirectory.apply(lambda directory: str(PurePosixPath(directory).parent))
        run = job.run
        self.status = pulumi.Output.from_input(
            {
                "preset": plan.preset,
                "where": plan.where,
                "conditions": run.conditions,
                "createdAt": run.createdAt,
                "steps": run.steps,
                "loss": run.loss,
                "metrics": run.metrics,
                "adapter": {
                    "digest": run.adapterDigest,
                    "directory": run.adapterDirectory,
                    "imageDigest": run.imageDigest,
                    "gatePassed": run.gatePassed,
                    "gateFailures": run.gateFailures,
                    "served": self.promoted,
                },
                "seconds": run.seconds,
            }
        )
        self.register_outputs({"status": self.status, "plan": tuning_record(plan)})


class TuningJob(pulumi.ComponentResource):
    """One job of Ray, and what of its adapter is served."""

    run: TuningRun
    promotion: AdapterPromotion

    def __init__(
        self, name: str, plan: TuningPlan, nodes: GpuNodePool, ray: RayCluster, opts: pulumi.ResourceOptions
    ) -> None:
        super().__init__("modelyard:index:TuningJob", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        inputs = {
            "name": plan.name,
            "stack": pulumi.get_stack(),
            "job": canonical_json(plan.job.model_dump(mode="json")),
            "numGpus": plan.num_gpus,
            "where": nodes.where,
            "instance": ray.instance,
            "readyTimeoutSeconds": plan.ready_timeout_seconds,
        }
        self.run = TuningRun(f"{name}-run", inputs, child)
        outcome = {
            "name": plan.name,
            "adapterDirectory": self.run.adapterDirectory,
            "gatePassed": self.run.gatePassed,
            "gateFailures": self.run.gateFailures,
            "isPinned": plan.is_pinned,
        }
        self.promotion = AdapterPromotion(f"{name}-promotion", outcome, child)
        self.register_outputs({})
