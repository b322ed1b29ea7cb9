"""Does on the cluster what reconciliation has decided."""

from __future__ import annotations

from components.reconciliation.cluster.api import ClusterApi, Json, Refused
from components.reconciliation.cluster.paths import RAY, namespaced, service_proxy
from components.reconciliation.cluster.ray_service import group_index
from components.reconciliation.cluster.values import (
    Action,
    ClearApplications,
    ReplaceCluster,
    ScaleWorkers,
    SetServiceType,
    Wanted,
)


def act(api: ClusterApi, wanted: Wanted, action: Action) -> None:
    """Raises what the API server refuses it with."""
    match action:
        case ScaleWorkers():
            _scale(api, wanted, action)
        case ReplaceCluster():
            api.delete(namespaced(RAY, wanted.namespace, "rayclusters", action.cluster))
        case ClearApplications():
            send_applications(api, wanted.namespace, action.cluster, [])
        case SetServiceType():
            path = namespaced("/api/v1", wanted.namespace, "services", wanted.name)
            api.merge(path, {"spec": {"type": action.kind}})


def send_applications(api: ClusterApi, namespace: str, cluster: str, applications: list[Json]) -> None:
    """Replace all applications of a Ray, by its dashboard."""
    path = service_proxy(namespace, f"{cluster}-head-svc", "dashboard", "/api/serve/applications/")
    status, body = api.through("PUT", path, {"applications": applications})
    if status >= 400:
        words = body.decode(errors="replace")[-300:]
        raise Refused(f"Ray Serve answered {status} when its applications were changed: {words}", status, {})


def _scale(api: ClusterApi, wanted: Wanted, action: ScaleWorkers) -> None:
    path = namespaced(RAY, wanted.namespace, "rayclusters", action.cluster)
    index = group_index(api.get(path))
    if index is None:
        return
    group = f"/spec/workerGroupSpecs/{index}"
    api.edit(
        path,
        [
            {"op": "add", "path": f"{group}/replicas", "value": action.replicas},
            {"op": "add", "path": f"{group}/scaleStrategy", "value": {"workersToDelete": list(action.leave)}},
        ],
    )
