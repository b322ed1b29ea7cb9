"""The Ray that serves a stack's workspaces."""

from __future__ import annotations

import pulumi

from components.before import ray_settings
from components.planning.config import RaySpec
from components.reconciliation.resources import LocalRay


class RayCluster(pulumi.ComponentResource):
    """On target local: one Ray on this machine, on loopback only, for all workspaces of the stack."""

    instance: pulumi.Output[str]
    serve_url: pulumi.Output[str]

    def __init__(self, name: str, spec: RaySpec, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("modelyard:index:RayCluster", name, None, opts)
        inputs = {"stack": pulumi.get_stack(), **ray_settings(spec)}
        ray = LocalRay(f"{name}-local", inputs, pulumi.ResourceOptions(parent=self))
        self.instance = ray.instance
        self.serve_url = ray.serveUrl
        self.register_outputs({"dashboardUrl": ray.dashboardUrl, "serveUrl": ray.serveUrl})
