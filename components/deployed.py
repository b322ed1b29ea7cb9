"""What the last update left in the stack's state, as the program asks the engine for it."""

from __future__ import annotations

from typing import Any

import pulumi
from tenacity import Retrying, stop_after_attempt, wait_fixed

from components.deployed_state import Deployed, from_resources

_READS = 10
_READ_PAUSE_SECONDS = 0.2


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
