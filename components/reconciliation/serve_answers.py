"""What Ray Serve and a service say of themselves, read into the values that reconciliation decides on. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.reconciliation.state import AdapterState, Application, Readiness, Replica, ReplicaAdapters

_OK = 200


def application_of(details: Mapping[str, Any]) -> Application:
    """An application as Ray Serve's REST API tells of it."""
    # While an application is being built `deployments` is empty; ours has one deployment.
    deployment: Mapping[str, Any] = next(iter((details.get("deployments") or {}).values()), {})
    return Application(
        status=details["status"],
        message=details.get("message") or "",
        config=details.get("deployed_app_config") or {},
        deployed_at=details.get("last_deployed_time_s") or 0.0,
        deployment_message=deployment.get("message") or "",
        replicas=tuple(
            Replica(state=replica["state"], pid=replica.get("pid"), address=replica.get("node_ip") or "")
            for replica in deployment.get("replicas") or ()
        ),
    )


def readiness_of(status: int, body: Mapping[str, Any]) -> Readiness:
    """An answer of /ready."""
    return Readiness(
        ok=status == _OK,
        reason=str(body.get("reason", "")),
        message=str(body.get("message", "")),
        phases=body.get("phases") or {},
        engine_pid=body.get("engine_pid"),
        host=str(body.get("host") or ""),
        adapters=_replica_adapters(body.get("adapters")),
    )


def _replica_adapters(report: Mapping[str, Any] | None) -> ReplicaAdapters | None:
    """None of a replica of another version, which says nothing of adapters."""
    if report is None:
        return None
    adapters = (
        AdapterState(name=each["name"], state=each["state"], reason=each["reason"], message=each["message"])
        for each in report["adapters"]
    )
    return ReplicaAdapters(generation=report["generation"], adapters=tuple(adapters))
