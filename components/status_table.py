"""The live table of workspaces, in the manner of `kubectl get workspace`. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rich.table import Table

from components.reconciliation.state import ConditionType, Finding

HEADINGS = ("NAME", "INSTANCE", "RESOURCEREADY", "INFERENCEREADY", "WORKSPACEREADY", "AGE")


def table_of(
    workspaces: Mapping[str, Any], findings: Mapping[str, Mapping[ConditionType, Finding]], now: datetime
) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="")
    for heading in HEADINGS:
        table.add_column(heading, no_wrap=True)
    for name, found in findings.items():
        deployed = workspaces[name]
        # A tuning has no endpoint; what it has in its place stands in the lines below.
        kinds: tuple[ConditionType, ...] = ("ResourceReady", "InferenceReady", "WorkspaceReady")
        statuses = (found[kind].status if kind in found else "" for kind in kinds)
        table.add_row(name, deployed["where"], *statuses, age(deployed["createdAt"], now))
    return table


def reasons(name: str, deployed: Mapping[str, Any], found: Mapping[ConditionType, Finding]) -> list[str]:
    """One line for each condition that is not True; WorkspaceReady only repeats one of the others."""
    recorded = {condition["type"]: condition for condition in deployed["conditions"]}
    lines: list[str] = []
    for kind, finding in found.items():
        if finding.status == "True" or kind == "WorkspaceReady":
            continue
        before = recorded.get(kind)
        since = "" if before is None or before["status"] == "True" else f" (since {before['lastTransitionTime']})"
        lines.append(f"{name}: {kind} is {finding.status}: {finding.reason}: {finding.message}{since}")
    return lines


def recorded_findings(deployed: Mapping[str, Any]) -> dict[ConditionType, Finding]:
    """The conditions as the last update or refresh left them: a job that has ended does not change any more."""
    return {each["type"]: Finding(each["status"], each["reason"], each["message"]) for each in deployed["conditions"]}


def of_tuning(name: str, deployed: Mapping[str, Any]) -> str:
    """What a tuning has made, and what of it is served."""
    version = str(deployed.get("adapterDirectory") or "").rpartition("/")[2]
    served = str(deployed.get("served") or "").rpartition("/")[2]
    line = f"{name} has made version {version} of its adapter"
    if deployed.get("gatePassed") is False:
        missed = "; ".join(deployed.get("gateFailures") or ())
        instead = f"version {served} is served" if served else "none is served"
        return f"{line}, which missed the gate ({missed}); {instead}"
    return f"{line}, in {deployed.get('adapterDirectory')}"


def age(created: str, now: datetime) -> str:
    """How long ago, in kubectl's manner.

    >>> from datetime import UTC
    >>> age("2026-01-01T00:00:00Z", datetime(2026, 1, 1, 2, 5, tzinfo=UTC))
    '2h'
    """
    seconds = int((now - datetime.fromisoformat(created)).total_seconds())
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= length:
            return f"{seconds // length}{unit}"
    return f"{max(seconds, 0)}s"
