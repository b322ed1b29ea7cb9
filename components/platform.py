"""All of a stack: its Ray, its workspaces, and what is printed of the plan."""

from __future__ import annotations

import json
from typing import Any

import pulumi

from components.deployed import applications as deployed_applications
from components.planning.changes import changes
from components.planning.plan import Plan
from components.planning.table import render_table
from components.ray_cluster import RayCluster
from components.workspace import Workspace

WORKSPACES = "workspaces"
"""The stack output that has every workspace's status by its name."""


def build(plan: Plan) -> dict[str, pulumi.Output[dict[str, Any]]]:
    """Declare the plan's resources and print the plan; the status of every workspace by name."""
    _print(plan)
    if not plan.workspaces:
        return {}
    ray = RayCluster("ray", plan.ray)
    return {workspace.name: Workspace(workspace, ray).status for workspace in plan.workspaces}


def _print(plan: Plan) -> None:
    deployed = deployed_applications()
    before = {name: json.loads(application["config"]) for name, application in deployed.items()}
    drift = {name: application.get("drift") or "" for name, application in deployed.items()}
    port = _port({application["endpoint"] for application in deployed.values()})
    table = render_table(plan, changes(plan, before, drift), serve_port=port)
    pulumi.log.info(f"the plan of stack {pulumi.get_stack()}, target {plan.target}\n{table}")


def _port(endpoints: set[str]) -> int | None:
    ports = {endpoint.rpartition("127.0.0.1:")[2].partition("/")[0] for endpoint in endpoints if endpoint}
    return int(ports.pop()) if len(ports) == 1 else None
