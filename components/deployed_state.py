"""What an update left in the resources of a stack: read from a state, with or without Pulumi."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from components.planning.record import Record

APPLICATION_TYPE = "pulumi-python:dynamic/modelyard:ServeApplication"
WORKSPACE_TYPE = "modelyard:index:Workspace"
RAY_TYPE = "pulumi-python:dynamic/modelyard:LocalRay"


@dataclass(frozen=True)
class Deployed:
    """Properties of resources, as the last update or refresh left them."""

    applications: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    """By workspace name."""
    ray: dict[str, Any] = field(default_factory=dict[str, Any])
    """Empty if there is none."""
    records: dict[str, Record] = field(default_factory=dict[str, Record])
    """What components.planning.record left of each workspace, by its name."""


def from_resources(resources: Iterable[Mapping[str, Any]]) -> Deployed:
    """`resources` have `type` and `outputs`, as a state and as the engine give them."""
    known = [resource for resource in resources if resource.get("outputs")]
    applications = [dict(each["outputs"]) for each in known if each["type"] == APPLICATION_TYPE]
    rays = [dict(each["outputs"]) for each in known if each["type"] == RAY_TYPE]
    workspaces = [each for each in known if each["type"] == WORKSPACE_TYPE and each["outputs"].get("plan")]
    records = {str(each["outputs"]["plan"]["name"]): dict(each["outputs"]["plan"]) for each in workspaces}
    return Deployed(
        {application["name"]: application for application in applications}, rays[0] if rays else {}, records
    )
