"""A workspace on nodes, as far as this version goes: what a preview shows of it."""

from __future__ import annotations

from typing import Any

import pulumi

from components.gpu_node_pool import GpuNodePool, GpuNodePoolArgs
from components.planning.placed import PlacedWorkspace
from components.planning.record import placed_record


class PlannedWorkspace(pulumi.ComponentResource):
    """The same type as components.workspace.Workspace, so that its URN stays when it is provisioned too."""

    status: pulumi.Output[dict[str, Any]]

    def __init__(
        self, plan: PlacedWorkspace, target: str, currency: str, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("modelyard:index:Workspace", plan.name, None, opts)
        node = plan.node
        args = GpuNodePoolArgs(
            where=f"{plan.nodes} x {node.name}" if node else "existing nodes",
            nodes=plan.nodes,
            gpus=plan.gpus,
        )
        GpuNodePool(f"{plan.name}-nodes", args, pulumi.ResourceOptions(parent=self))
        self.status = pulumi.Output.from_input(
            {"preset": plan.preset, "where": args.where, "replicas": plan.replicas, "perHour": plan.per_hour}
        )
        self.register_outputs({"status": self.status, "plan": placed_record(plan, target, currency)})
