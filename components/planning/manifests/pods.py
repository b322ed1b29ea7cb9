"""Pods that run the project's code: nobody's root, on a file system that they cannot write, with the code of the stack.

They pass the restricted Pod Security Standard. The image holds dependencies only; an init container unpacks the code,
which comes in a ConfigMap, so that new code needs no new image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from components.planning.manifests.scope import Scope
from components.planning.manifests.volumes import Volumes

USER = 1000
"""Of the image's own user; files of volumes belong to its group."""

CODE = "/opt/modelyard"
HOME = "/home/modelyard"
_ARCHIVE = "/var/run/modelyard"
_SMALL: dict[str, Any] = {
    "requests": {"cpu": "100m", "memory": "128Mi"},
    "limits": {"cpu": "1", "memory": "256Mi"},
}
"""Of the init container, which unpacks half a megabyte."""

RAY_ENVIRONMENT = {
    # The dashboard is kept to the workspace's own pods by a NetworkPolicy; a token would have to be in the state.
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_SERVE_PROXY_USE_GRPC": "1",
    "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
    "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "0",
    "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": str(2**31 - 1),
}
"""How Ray Serve brings tokens to the proxy: docs/decisions/0021-tokens-by-grpc.md."""


def environment(scope: Scope, extra: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    """Variables of a container with the code, by name; the config's own give way to those that things rest on."""
    values = {
        **scope.spec.environment,
        "HOME": HOME,
        "MODELYARD_CACHE": Volumes.CACHE,
        "PYTHONPATH": CODE,
        "PYTHONUNBUFFERED": "1",
        "XDG_CACHE_HOME": f"{HOME}/.cache",
        **(extra or {}),
    }
    return [{"name": name, "value": values[name]} for name in sorted(values)]


def code_container(scope: Scope) -> dict[str, Any]:
    """The init container that unpacks the code."""
    return {
        "name": "code",
        "image": scope.image,
        "command": ["python", "-m", "zipfile", "-e", f"{_ARCHIVE}/code.zip", CODE],
        "resources": _SMALL,
        "securityContext": container_security(),
        "volumeMounts": [
            {"name": "archive", "mountPath": _ARCHIVE, "readOnly": True},
            {"name": "code", "mountPath": CODE},
        ],
    }


def mounts(volumes: Volumes) -> list[dict[str, Any]]:
    """Of a container with the code."""
    return [
        {"name": "code", "mountPath": CODE, "readOnly": True},
        {"name": "home", "mountPath": HOME},
        {"name": "shm", "mountPath": "/dev/shm"},
        {"name": "tmp", "mountPath": "/tmp"},
        *volumes.mounts,
    ]


def pod_volumes(scope: Scope, volumes: Volumes, *, shm: str = "") -> list[dict[str, Any]]:
    """Of a pod with the code. shm: limit of /dev/shm as a quantity, where the processes of several GPUs share it."""
    memory: dict[str, Any] = {"medium": "Memory", **({"sizeLimit": shm} if shm else {})}
    return [
        {"name": "archive", "configMap": {"name": scope.code_name}},
        {"name": "code", "emptyDir": {}},
        {"name": "home", "emptyDir": {}},
        {"name": "shm", "emptyDir": memory},
        {"name": "tmp", "emptyDir": {}},
        *volumes.volumes,
    ]


def container_security() -> dict[str, Any]:
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }


def pod_security(scope: Scope, service_account: str, pull: Sequence[str] = ()) -> dict[str, Any]:
    """Fields of a pod's spec that keep it from what it does not need, the API server's token among them.

    pull: Secrets with the login of a registry, beside those of the stack.
    """
    return {
        "serviceAccountName": service_account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        **pull_secrets([*scope.spec.image_pull_secrets, *pull]),
        **({"priorityClassName": scope.spec.priority_class} if scope.spec.priority_class else {}),
    }


def pull_secrets(names: Sequence[str]) -> dict[str, Any]:
    return {"imagePullSecrets": [{"name": name} for name in dict.fromkeys(names)]} if names else {}
