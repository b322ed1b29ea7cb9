"""A model behind an OpenAI-compatible endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi

from components.gpu_node_pool import GpuNodePool
from components.planning.local_plan import WorkspacePlan
from components.planning.render import application_config, canonical_json
from components.planning.tuned_adapters import followed, tunings_in
from components.planning.tuning_changes import with_adapters
from components.ray_cluster import RayCluster
from components.reconciliation.resources import ServeApplication
from components.tuning_job import TuningWorkspace


@dataclass(frozen=True, kw_only=True)
class InferenceServiceArgs:
    plan: WorkspacePlan
    nodes: GpuNodePool
    ray: RayCluster
    tunings: Mapping[str, TuningWorkspace]
    """Of the stack, by name: they make some of the adapters."""


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
            "config": _config(plan, args.tunings),
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


def _config(plan: WorkspacePlan, tunings: Mapping[str, TuningWorkspace]) -> pulumi.Input[str]:
    """The application, in which adapters that the stack makes are named by where they lie as soon as they are made."""
    application = application_config(plan)
    sources = [adapter.source for adapter in plan.settings.adapters]
    makers = tunings_in(sources)
    if not makers:
        return canonical_json(application)
    # A version that is named waits for no promotion: it may be one that has missed the gate.
    promoted = pulumi.Output.all(**{name: tunings[name].promoted for name in followed(sources)})
    versions = pulumi.Output.all(**{name: tunings[name].versions for name in makers})
    return pulumi.Output.all(promoted, versions).apply(
        lambda known: canonical_json(with_adapters(application, known[0], known[1]))
    )
