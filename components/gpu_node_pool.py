"""The nodes that a workspace runs on."""

from __future__ import annotations

import pulumi

from components.planning.plan import WorkspacePlan


class GpuNodePool(pulumi.ComponentResource):
    """Nodes of one size. On target local the one node is this machine, so that there is nothing to create."""

    where: str
    gpus: int

    def __init__(self, name: str, plan: WorkspacePlan, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("modelyard:index:GpuNodePool", name, None, opts)
        self.where = plan.where
        self.gpus = round(plan.num_gpus * plan.replicas)
        self.register_outputs({"where": self.where, "nodes": 1, "gpus": self.gpus})
