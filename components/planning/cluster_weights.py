"""Where the pods of a workspace have its weights from: an image that is mounted, or a source that they fetch."""

from __future__ import annotations

from components.planning.cluster_config import KubernetesSpec
from components.planning.config import PresetOptions
from components.planning.placed import PlacedWorkspace
from presets.weights_source import parse_weights_source


def mounts_image(options: PresetOptions, spec: KubernetesSpec) -> bool:
    """Whether an image that carries the weights is a volume of the pods."""
    return bool(options.image) and spec.image_volumes


def fetched_source(options: PresetOptions, own: str, spec: KubernetesSpec) -> str:
    """The source of what is not mounted, in the grammar of presets.weights_source; `own`: the preset's."""
    if options.image and not spec.image_volumes:
        return str(parse_weights_source(f"oci:{options.image}"))
    return options.weights or own


def is_pulled(source: str) -> bool:
    """Whether a registry is asked for it, which may want a login."""
    return source.startswith("oci:")


def registry_logins(workspace: PlacedWorkspace, spec: KubernetesSpec) -> list[str]:
    """Secrets that the processes of a workspace's pods log in to registries with, for its weights and its adapters.
    What the kubelet pulls, it pulls with imagePullSecrets of the pod."""
    inference = workspace.spec.inference
    if inference is None:
        return []
    names = {name for adapter in inference.adapters for name in adapter.source.image_pull_secrets}
    if inference.preset is not None:
        options = inference.preset.preset_options
        own = workspace.facts.weights_source if workspace.facts else ""
        if not mounts_image(options, spec) and is_pulled(fetched_source(options, own, spec)):
            names |= set(options.image_pull_secrets)
    return sorted(names)
