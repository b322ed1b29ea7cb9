"""What the last update left in the stack's state, for the program and for `make status`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pulumi
from tenacity import Retrying, stop_after_attempt, wait_fixed

_READS = 10
_READ_PAUSE_SECONDS = 0.2
APPLICATION_TYPE = "pulumi-python:dynamic/modelyard:ServeApplication"
RAY_TYPE = "pulumi-python:dynamic/modelyard:LocalRay"


@dataclass(frozen=True)
class Deployed:
    """Properties of resources, as the last update or refresh left them."""

    applications: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    """By workspace name."""
    ray: dict[str, Any] = field(default_factory=dict[str, Any])
    """Empty if there is none."""


def from_resources(resources: Iterable[Mapping[str, Any]]) -> Deployed:
    """`resources` have `type` and `outputs`, as a state and as the engine give them."""
    known = [resource for resource in resources if resource.get("outputs")]
    applications = [dict(each["outputs"]) for each in known if each["type"] == APPLICATION_TYPE]
    rays = [dict(each["outputs"]) for each in known if each["type"] == RAY_TYPE]
    return Deployed({application["name"]: application for application in applications}, rays[0] if rays else {})


def from_engine() -> Deployed:
    """What a program can know while it runs.

    By functions of the engine: a StackReference would do the same as a resource of the stack, and so be refreshed,
    counted and reported as changed with every update.
    """
    stack = f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}"
    # A stack that was never updated has no outputs, and no resources that could be asked for.
    if not _call("readStackOutputs", {"name": stack}):
        return Deployed()
    return from_resources(_call("readStackResourceOutputs", {"stackName": stack}).values())


def _call(function: str, arguments: dict[str, str]) -> dict[str, Any]:
    # A file backend writes the state in place: who reads in that moment finds it cut off (pulumi raises Exception).
    trying = Retrying(stop=stop_after_attempt(_READS), wait=wait_fixed(_READ_PAUSE_SECONDS), reraise=True)
    answer: dict[str, Any] = trying(lambda: pulumi.runtime.invoke(f"pulumi:pulumi:{function}", arguments).value) or {}
    return answer.get("outputs") or {}
