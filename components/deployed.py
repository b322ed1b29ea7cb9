"""What the last update left in the stack's state, for a program that says what the next one changes."""

from __future__ import annotations

from typing import Any

import pulumi

APPLICATION_TYPE = "pulumi-python:dynamic/modelyard:ServeApplication"


def applications() -> dict[str, dict[str, Any]]:
    """The properties of every deployed application by workspace name, as the last update or refresh left them.

    By functions of the engine: a StackReference would do the same as a resource of the stack, and so be refreshed,
    counted and reported as changed with every update.
    """
    stack = f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}"
    # A stack that was never updated has no outputs, and no resources that could be asked for.
    if not _call("readStackOutputs", {"name": stack}):
        return {}
    resources = _call("readStackResourceOutputs", {"stackName": stack}).values()
    found = (resource["outputs"] for resource in resources if resource["type"] == APPLICATION_TYPE)
    return {application["name"]: application for application in found}


def _call(function: str, arguments: dict[str, str]) -> dict[str, Any]:
    answer: dict[str, Any] = pulumi.runtime.invoke(f"pulumi:pulumi:{function}", arguments).value or {}
    return answer.get("outputs") or {}
