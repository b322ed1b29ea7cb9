"""A workspace that serves a preset: a RayService of KubeRay, with one worker pod for each replica.

Each workspace has a Ray of its own, so that one model's failure, upgrade or end is nobody else's.
"""

from __future__ import annotations

from typing import Any

from components.planning.manifests.nodes import gpu_resource, placing
from components.planning.manifests.pods import (
    RAY_ENVIRONMENT,
    code_container,
    container_security,
    environment,
    mounts,
    pod_security,
    pod_volumes,
)
from components.planning.manifests.scope import (
    DIGEST_ANNOTATION,
    PART_LABEL,
    Manifest,
    Scope,
    digest_of,
    labels,
    metadata,
)
from components.planning.manifests.serving import PORT, serve_config_text
from components.planning.manifests.volumes import Volumes, volumes_of
from components.planning.placed import PlacedWorkspace
from components.planning.render import GRACEFUL_SHUTDOWN_TIMEOUT_S, canonical_json
from presets.placement import Placement

WORKER_GROUP = "gpu"
MOST_WORKERS = 256
"""The bound that Ray's books have for a worker group; how many there are is decided elsewhere."""
WORKER_CPUS = 2
"""Logical CPUs of a worker in Ray's books: its replica, and Ray Serve's own actors."""
_NODE_SHARE = 0.75
"""Part of a node's memory and CPUs that the pods of its GPUs ask for; the rest is the system's and the daemons'."""
_OBJECT_STORE_BYTES = 128 * 1024 * 1024
"""Requests do not pass through Ray's object store."""
_PREEMPT_SECONDS = GRACEFUL_SHUTDOWN_TIMEOUT_S + 30
"""A pod that is to end may finish its streams, and Ray may end after them."""


def ray_service(workspace: PlacedWorkspace, scope: Scope, *, beside: bool) -> Manifest:
    """The RayService. beside: whether new replicas may start beside the old ones, on nodes of their own."""
    cluster = _ray_cluster(workspace, scope)
    digest = digest_of(canonical_json(_compared(cluster)))
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayService",
        "metadata": metadata(scope, workspace.name, workspace.name, annotations={DIGEST_ANNOTATION: digest}),
        "spec": {
            "serveConfigV2": serve_config_text(workspace, scope, surge=beside),
            # Without a spare node KubeRay must not make a second cluster, which would wait for GPUs for ever.
            "upgradeStrategy": {"type": "NewCluster" if beside else "None"},
            "serveService": _service(workspace, scope),
            "rayClusterConfig": _counted(cluster, workspace.replicas),
        },
    }


def _compared(cluster: dict[str, Any]) -> dict[str, Any]:
    """Without what KubeRay, too, leaves out when it looks whether a Ray has the pods that are wanted."""
    group = cluster["workerGroupSpecs"][0]
    template = group["template"]
    spec = {key: value for key, value in template["spec"].items() if key != "tolerations"}
    return {**cluster, "workerGroupSpecs": [{**group, "template": {**template, "spec": spec}}]}


def _counted(cluster: dict[str, Any], replicas: int) -> dict[str, Any]:
    """With the number of workers, which KubeRay, too, leaves out when it compares."""
    group = {**cluster["workerGroupSpecs"][0], "replicas": replicas}
    return {**cluster, "workerGroupSpecs": [group]}


def _service(workspace: PlacedWorkspace, scope: Scope) -> Manifest:
    """The Service that KubeRay keeps pointed at the Ray that serves; KAITO's has the same name and port."""
    kind = "LoadBalancer" if workspace.spec.load_balancer else "ClusterIP"
    return {
        "metadata": {"name": workspace.name, "labels": labels(scope, workspace.name)},
        "spec": {
            "type": kind,
            "ports": [{"name": "serve", "port": 80, "protocol": "TCP", "targetPort": PORT}],
        },
    }


def _ray_cluster(workspace: PlacedWorkspace, scope: Scope) -> dict[str, Any]:
    volumes = volumes_of(workspace, scope)
    return {
        "rayVersion": scope.delivery.ray_version,
        "headGroupSpec": {
            "rayStartParams": {"num-cpus": "0", "object-store-memory": str(_OBJECT_STORE_BYTES)},
            "template": _template(workspace, scope, "head", _head(scope, volumes), volumes),
        },
        "workerGroupSpecs": [
            {
                "groupName": WORKER_GROUP,
                "minReplicas": 0,
                "maxReplicas": MOST_WORKERS,
                "rayStartParams": _worker_parameters(workspace),
                "template": _template(workspace, scope, "worker", _worker(workspace, scope, volumes), volumes),
            }
        ],
    }


def _worker_parameters(workspace: PlacedWorkspace) -> dict[str, str]:
    return {
        "num-cpus": str(WORKER_CPUS),
        "num-gpus": str(_gpus(workspace)),
        "object-store-memory": str(_OBJECT_STORE_BYTES),
    }


def _template(
    workspace: PlacedWorkspace, scope: Scope, part: str, container: dict[str, Any], volumes: Volumes
) -> dict[str, Any]:
    where = placing(workspace, scope).pod_fields() if part == "worker" else {}
    return {
        "metadata": {
            "labels": {**labels(scope, workspace.name), PART_LABEL: part},
            # Karpenter leaves a node with such a pod alone: a replica takes minutes to start elsewhere.
            "annotations": {"karpenter.sh/do-not-disrupt": "true", **volumes.annotations},
        },
        "spec": {
            **pod_security(scope, workspace.name, volumes.pull_secrets),
            **where,
            "terminationGracePeriodSeconds": _PREEMPT_SECONDS,
            "initContainers": [code_container(scope)],
            "containers": [container],
            "volumes": pod_volumes(scope, volumes),
        },
    }


def _head(scope: Scope, volumes: Volumes) -> dict[str, Any]:
    size = {"cpu": scope.spec.head.cpu, "memory": scope.spec.head.memory}
    ports = {"gcs-server": 6379, "dashboard": 8265, "client": 10001, "serve": PORT}
    return {
        **_container("ray-head", scope, volumes),
        "ports": [{"name": name, "containerPort": port} for name, port in ports.items()],
        "resources": {"requests": size, "limits": size},
    }


def _worker(workspace: PlacedWorkspace, scope: Scope, volumes: Volumes) -> dict[str, Any]:
    size = {**_share(workspace), gpu_resource(workspace.node): str(_gpus(workspace))}
    return {
        **_container("ray-worker", scope, volumes),
        "ports": [{"name": "serve", "containerPort": PORT}],
        "resources": {"requests": size, "limits": size},
    }


def _container(name: str, scope: Scope, volumes: Volumes) -> dict[str, Any]:
    return {
        "name": name,
        "image": scope.image,
        "env": [*environment(scope, RAY_ENVIRONMENT), *volumes.environment],
        "securityContext": container_security(),
        "volumeMounts": mounts(volumes),
    }


def _gpus(workspace: PlacedWorkspace) -> int:
    """Of one replica, and so of one worker."""
    assert isinstance(workspace.model, Placement)
    return workspace.model.split.gpus


def _share(workspace: PlacedWorkspace) -> dict[str, str]:
    """A worker's part of its node's CPUs and memory, by its GPUs; empty where the node's are not known."""
    node = workspace.node
    if node is None or not node.vcpus or not node.ram_gib:
        return {}
    part = _NODE_SHARE * _gpus(workspace) / node.gpus
    return {"cpu": f"{int(1000 * node.vcpus * part)}m", "memory": f"{int(1024 * node.ram_gib * part)}Mi"}
