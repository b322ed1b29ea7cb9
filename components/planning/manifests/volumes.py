"""Where pods find weights and adapters, and with which logins they fetch them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from components.planning.cluster_weights import mounts_image, registry_logins
from components.planning.config import AdapterSpec
from components.planning.manifests.scope import IMAGE_ANNOTATION, Manifest, Scope, metadata
from components.planning.placed import PlacedWorkspace

CLAIM = "modelyard-weights"
"""Of the claim that is made for a stack."""


@dataclass(frozen=True)
class Volumes:
    """Of the pods of one workspace that read a model."""

    MODELS: ClassVar[str] = "/models"
    CACHE: ClassVar[str] = "/models/cache"
    ADAPTERS: ClassVar[str] = "/adapters"
    IMAGE: ClassVar[str] = "/weights"
    """Where an image that carries the weights is mounted."""
    LOGIN: ClassVar[str] = "/var/run/registry"

    volumes: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    mounts: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    environment: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    pull_secrets: list[str] = field(default_factory=list[str])
    """Of the kubelet, for the image that carries the weights."""
    annotations: dict[str, str] = field(default_factory=dict[str, str])


def volumes_of(workspace: PlacedWorkspace, scope: Scope) -> Volumes:
    """Volumes, mounts and logins of a workspace that serves a preset."""
    found = Volumes()
    found.volumes.append({"name": "models", **_models(scope)})
    found.mounts.append({"name": "models", "mountPath": Volumes.MODELS})
    inference = workspace.spec.inference
    options = inference.preset.preset_options if inference and inference.preset else None
    if options and options.model_access_secret:
        key = {"name": options.model_access_secret, "key": "HF_TOKEN"}
        found.environment.append({"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": key}})
    if options and mounts_image(options, scope.spec):
        found.volumes.append({"name": "weights", "image": {"reference": options.image, "pullPolicy": "IfNotPresent"}})
        found.mounts.append({"name": "weights", "mountPath": Volumes.IMAGE, "readOnly": True})
        found.pull_secrets.extend(options.image_pull_secrets)
        found.annotations[IMAGE_ANNOTATION] = str(options.image)
    adapters = sorted(inference.adapters, key=lambda each: each.source.name or "") if inference else []
    _adapters(adapters, found)
    _login(registry_logins(workspace, scope.spec), found)
    return found


def adapter_directory(adapter: AdapterSpec) -> str:
    """Where an adapter that comes in a volume is mounted."""
    return f"{Volumes.ADAPTERS}/{adapter.source.name}"


def weights_claims(scope: Scope) -> list[Manifest]:
    """The claim that the weights' volume asks to be made."""
    weights = scope.spec.weights
    if weights is None or weights.size is None:
        return []
    storage_class = {"storageClassName": weights.storage_class} if weights.storage_class else {}
    spec = {
        "accessModes": ["ReadWriteMany"],
        "resources": {"requests": {"storage": weights.size}},
        **storage_class,
    }
    return [{"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata(scope, CLAIM), "spec": spec}]


def is_claim(manifest: Manifest) -> bool:
    return manifest["kind"] == "PersistentVolumeClaim"


def is_shared(scope: Scope) -> bool:
    """Whether what one pod fetches is there for all others."""
    weights = scope.spec.weights
    return weights is not None and weights.host_path is None


def _models(scope: Scope) -> dict[str, Any]:
    weights = scope.spec.weights
    if weights is None:
        return {"emptyDir": {}}
    if weights.host_path is not None:
        return {"hostPath": {"path": weights.host_path, "type": "Directory"}}
    return {"persistentVolumeClaim": {"claimName": weights.claim or CLAIM}}


def _adapters(adapters: Sequence[AdapterSpec], found: Volumes) -> None:
    for index, adapter in enumerate(adapters):
        if adapter.source.volume_source:
            name = f"adapter-{index}"
            found.volumes.append({"name": name, **adapter.source.volume_source})
            found.mounts.append({"name": name, "mountPath": adapter_directory(adapter), "readOnly": True})


def _login(names: Sequence[str], found: Volumes) -> None:
    """The login to registries; a Secret of type kubernetes.io/dockerconfigjson has that key."""
    if not names:
        return
    item = {"key": ".dockerconfigjson", "path": "config.json"}
    found.volumes.append({"name": "registry-login", "secret": {"secretName": names[0], "items": [item]}})
    found.mounts.append({"name": "registry-login", "mountPath": Volumes.LOGIN, "readOnly": True})
    found.environment.append({"name": "DOCKER_CONFIG", "value": Volumes.LOGIN})
