"""All of a stack: its Ray, its workspaces, and what is printed of the plan."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

import pulumi

from components.deployed import Deployed, from_engine
from components.planning.changes import changes, ray_restart
from components.planning.plan import Plan
from components.planning.table import render_table
from components.ray_cluster import RayCluster, settings
from components.workspace import Workspace

WORKSPACES = "workspaces"
"""The stack output that has every workspace's status by its name."""


def build(plan: Plan) -> dict[str, pulumi.Output[dict[str, Any]]]:
    """Declare the plan's resources and print the plan; the status of every workspace by name."""
    table = describe(plan, from_engine())
    pulumi.log.info(f"the plan of stack {pulumi.get_stack()}, target {plan.target}\n{table}")
    if not plan.workspaces:
        return {}
    ray = RayCluster("ray", plan.ray)
    return {workspace.name: Workspace(workspace, ray).status for workspace in plan.workspaces}


def describe(plan: Plan, deployed: Deployed) -> str:
    """The plan as a table, with what it changes of what is deployed."""
    applications = deployed.applications
    before = {name: json.loads(application["config"]) for name, application in applications.items()}
    drift = {name: application.get("drift") or "" for name, application in applications.items()}
    running = _running(deployed.ray)
    restart = ray_restart(settings(plan.ray), running) if running else ""
    return render_table(plan, changes(plan, before, drift, restart), serve_port=running.get("servePort"))


def _running(ray: dict[str, Any]) -> dict[str, Any]:
    """The settings of the Ray that runs: its real ports where the config leaves them open."""
    if "serveUrl" not in ray:
        return {}
    ports = {"servePort": urlsplit(ray["serveUrl"]).port, "dashboardPort": urlsplit(ray["dashboardUrl"]).port}
    return {"environment": ray["environment"], "numCpus": ray.get("numCpus"), **ports}
