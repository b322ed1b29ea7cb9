"""A model behind an OpenAI-compatible endpoint."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from components.gpu_node_pool import GpuNodePool
from components.planning.local_plan import WorkspacePlan
from components.planning.render import application_config, canonical_json
from components.ray_cluster import RayCluster
from components.reconciliation.resources import ServeApplication


@dataclass(frozen=True, kw_only=True)
class InferenceServiceArgs:
    plan: WorkspacePlan
    nodes: GpuNodePool
    ray: RayCluster


class InferenceService(pulumi.ComponentResource):
    """One Ray Serve application, reconciled until its replicas answer."""

    endpoint: pulumi.Output[str]
    conditions: pulumi.Output[list[dict[str, str]]]
    application: ServeApplication

    def __init__(self, name: str, args: InferenceServiceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("modelyard:index:InferenceService", name, None, opts)
        plan = args.plan
        self.endpoint = args.ray.serve_url.apply(lambda url: f"{url}{plan.route}/v1")
        inputs = {
            "name": plan.name,
            "stack": pulumi.get_stack(),
            "config": canonical_json(application_config(plan)),
            "replicas": plan.replicas,
            "weights": plan.weights,
            "where": args.nodes.where,
            "endpoint": self.endpoint,
            "instance": args.ray.instance,
            "readyTimeoutSeconds": plan.ready_timeout_seconds,
        }
        self.application = ServeApplication(f"{name}-application", inputs, pulumi.ResourceOptions(parent=self))
        self.conditions = self.application.conditions
        self.register_outputs({"endpoint": self.endpoint, "conditions": self.conditions})
