"""A Job that brings a model's weights to the stack's volume, so that replicas do not fetch the same bytes N times.

It starts beside the nodes. A replica that is there first waits for the lock of the cache, as processes of one machine
do, and then finds the weights.
"""

from __future__ import annotations

from components.planning.manifests.pods import (
    code_container,
    container_security,
    environment,
    mounts,
    pod_security,
    pod_volumes,
)
from components.planning.manifests.scope import PART_LABEL, Manifest, Scope, digest_of, labels, metadata
from components.planning.manifests.serving import weights_of
from components.planning.manifests.volumes import is_shared, volumes_of
from components.planning.placed import PlacedWorkspace

PART = "prefetch"
_ATTEMPTS = 3
_RESOURCES = {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"cpu": "2", "memory": "4Gi"}}
"""Converting a checkpoint to safetensors holds one of its files in memory."""


def prefetch(workspace: PlacedWorkspace, scope: Scope) -> list[Manifest]:
    """Nothing where each pod keeps its own, where the weights lie on the volume already, or are mounted."""
    inference, facts = workspace.spec.inference, workspace.facts
    if inference is None or inference.preset is None or facts is None or not is_shared(scope):
        return []
    source = weights_of(inference.preset, facts.weights_source, scope)
    if source.startswith("file:"):
        return []
    volumes = volumes_of(workspace, scope)
    container = {
        "name": PART,
        "image": scope.image,
        "command": ["python", "-m", "serving.weights", source],
        "env": [*environment(scope), *volumes.environment],
        "resources": _RESOURCES,
        "securityContext": container_security(),
        "volumeMounts": mounts(volumes),
    }
    # A Job's template cannot be changed: another source, image or code is another Job.
    unique = digest_of(f"{source} {scope.image} {scope.delivery.digest}", 7)
    pod = {
        "metadata": {"labels": {**labels(scope, workspace.name), PART_LABEL: PART}},
        "spec": {
            **pod_security(scope, workspace.name),
            "restartPolicy": "Never",
            "initContainers": [code_container(scope)],
            "containers": [container],
            "volumes": pod_volumes(scope, volumes),
        },
    }
    meta = metadata(scope, f"{workspace.name}-weights-{unique}", workspace.name)
    return [
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {**meta, "labels": {**meta["labels"], PART_LABEL: PART}},
            "spec": {"backoffLimit": _ATTEMPTS, "template": pod},
        }
    ]
