"""All of a stack: its Ray, its workspaces, and what is printed of the plan."""

from __future__ import annotations

from typing import Any

import pulumi

from components.before import before_of
from components.cluster_platform import build_on_cluster
from components.deployed import from_engine
from components.planned_workspace import PlannedWorkspace
from components.planning.errors import SpecError
from components.planning.plan import Plan
from components.planning.preview import preview, refusals
from components.planning.table import render_table
from components.ray_cluster import RayCluster
from components.stack_file import stack_file
from components.tuning_job import TuningWorkspace
from components.workspace import Workspace

WORKSPACES = "workspaces"
"""The stack output that has every workspace's status by its name."""


def build(plan: Plan) -> dict[str, pulumi.Output[dict[str, Any]]]:
    """Print the plan and declare its resources; the status of every workspace by name.

    Raises SpecError for changes that a deployed workspace cannot make, and pulumi.RunError in an update of a target
    that this version only plans.
    """
    before = before_of(plan, from_engine())
    if problems := refusals(plan, before):
        raise SpecError(problems, stack_file(pulumi.get_stack()))
    table = render_table(preview(plan, before, stack=pulumi.get_stack()))
    pulumi.log.info(f"the plan of stack {pulumi.get_stack()}, target {plan.target}\n{table}")
    if plan.target == "kubernetes":
        return build_on_cluster(plan)
    if plan.target != "local":
        return _planned(plan)
    if not plan.workspaces and not plan.tunings:
        return {}
    ray = RayCluster("ray", plan.ray)
    tunings = {tuning.name: TuningWorkspace(tuning, ray) for tuning in plan.tunings}
    served = {workspace.name: Workspace(workspace, ray, tunings).status for workspace in plan.workspaces}
    return served | {name: tuning.status for name, tuning in tunings.items()}


def _planned(plan: Plan) -> dict[str, pulumi.Output[dict[str, Any]]]:
    if not pulumi.runtime.is_dry_run():
        raise pulumi.RunError(
            f"target {plan.target} is planned and not provisioned in this version: pulumi preview and make plan show "
            "its nodes, memory and money; pulumi up works with modelyard:target: local and kubernetes. No node was "
            "made, and nothing is paid for."
        )
    currency = plan.prices.currency
    return {each.name: PlannedWorkspace(each, plan.target, currency).status for each in plan.placed}
