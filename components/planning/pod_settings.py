"""What of a config makes other pods of a workspace on a cluster, so that a preview tells that they are replaced."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from pydantic import JsonValue

from components.planning.cluster_config import KubernetesSpec
from components.planning.config import AdapterSpec
from components.planning.placed import PlacedWorkspace
from components.planning.render import canonical_json

_OF_PODS = ("image_pull_secrets", "head", "weights", "priority_class", "environment")
"""Fields of modelyard:kubernetes that stand in the pods; the image has a name of its own in a plan."""
_OF_MADE_NODES = ("nodes", "node_class_ref")
"""Those that make other nodes, whose label stands in the pods."""


def pod_settings(workspace: PlacedWorkspace, spec: KubernetesSpec, code_version: str) -> dict[str, JsonValue]:
    """By their names in components.planning.change_rules. A template's are as written, in the stack's namespace."""
    if workspace.kind != "inference":
        return {"namespace": spec.namespace}
    inference = workspace.spec.inference
    options = inference.preset.preset_options if inference and inference.preset else None
    made = _OF_MADE_NODES if spec.nodes != "existing" else ()
    plain: dict[str, JsonValue] = {
        "kubernetes": spec.model_dump(mode="json", include={*_OF_PODS, *made}),
        "preset": options and options.model_dump(mode="json", exclude={"weights"}),
        "adapters": _mounted(inference.adapters if inference else ()),
    }
    if options and options.image and not spec.image_volumes:
        plain["image volumes"] = False
    settings = hashlib.sha256(canonical_json(plain).encode()).hexdigest()[:12]
    return {
        "namespace": spec.namespace,
        "image": spec.image,
        "serving code": code_version,
        "pod settings": settings,
    }


def _mounted(adapters: Sequence[AdapterSpec]) -> list[JsonValue]:
    """Of adapters, what their pods mount: volumes, and logins of registries."""
    return [
        [each.source.name, each.source.volume_source, [*each.source.image_pull_secrets]]
        for each in sorted(adapters, key=lambda each: each.source.name or "")
        if each.source.volume_source or each.source.image_pull_secrets
    ]
