"""`make status` of workspaces on a cluster: what is there now, asked of the cluster itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from components.planning.table import plain
from components.reconciliation.cluster.api import ClusterApi, ClusterError, Login
from components.reconciliation.cluster.decide import decide
from components.reconciliation.cluster.lists import Lists
from components.reconciliation.cluster.observe import observe
from components.reconciliation.cluster.provider import found_of, login_of
from components.reconciliation.state import ConditionType, Finding
from components.status_table import reasons, table_of

Workspaces = Mapping[str, Mapping[str, Any]]


def cluster_status(deployed: Workspaces) -> str:
    """The table, a line for each condition that is not True, and where the endpoints are."""
    shown = {name: {**properties, "where": instance_of(properties)} for name, properties in sorted(deployed.items())}
    try:
        findings = live_findings(shown)
    except ClusterError as problem:
        return f"{problem.reason}: {problem}. As of the last update:\n" + "\n".join(
            plain(table_of(shown, recorded(shown), datetime.now(UTC)))
        )
    lines = plain(table_of(shown, findings, datetime.now(UTC)))
    for name, found in findings.items():
        lines += reasons(name, shown[name], found)
    lines += [
        f"{name} answers at {shown[name]['endpoint']}"
        for name, found in findings.items()
        if found["WorkspaceReady"].status == "True"
    ]
    return "\n".join(lines)


def live_findings(deployed: Workspaces) -> dict[str, Mapping[ConditionType, Finding]]:
    """The conditions as they are now. Raises ClusterError if the cluster cannot be asked."""
    logins: dict[Login, tuple[ClusterApi, Lists]] = {}
    found: dict[str, Mapping[ConditionType, Finding]] = {}
    for name, properties in deployed.items():
        login = login_of(properties)
        if login not in logins:
            api = ClusterApi(login)
            logins[login] = api, Lists(api)
        wanted = found_of(properties)
        found[name] = decide(wanted, observe(*logins[login], wanted)).findings
    return found


def recorded(deployed: Workspaces) -> dict[str, Mapping[ConditionType, Finding]]:
    """The conditions that the last update or refresh has left."""
    return {
        name: {each["type"]: Finding(each["status"], each["reason"], each["message"]) for each in found["conditions"]}
        for name, found in deployed.items()
    }


def instance_of(properties: Mapping[str, Any]) -> str:
    """The size of the nodes, or the product of those that exist; what INSTANCE shows."""
    mirror: dict[str, Any] = json.loads(properties["mirror"])
    return str(mirror.get("instance", ""))
