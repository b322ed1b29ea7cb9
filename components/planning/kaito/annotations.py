"""Annotations of a Workspace: what they become in our config, and what becomes of those that have no counterpart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.planning.kaito.findings import Findings
from components.planning.place import Place, shown
from presets.nearest import nearest

_PREFIX = "kaito.sh/"
_AUTOSCALING = "scaledobject.kaito.sh/"

_RUNTIME = f"{_PREFIX}runtime"
_LOAD_BALANCER = f"{_PREFIX}enablelb"
_SKIP_CHECKS = f"{_PREFIX}bypass-resource-checks"
_IMAGE_FAMILY = f"{_PREFIX}node-image-family"
_NODE_CLASS = f"{_PREFIX}node-class-name"

_CHOICES = {
    f"{_PREFIX}performance-mode": ("balanced", "interactivity", "throughput"),
    f"{_PREFIX}use-local-weights": ("true", "false"),
}
_HAS_NO_EFFECT = {
    f"{_PREFIX}performance-mode": ("balanced",),
    f"{_PREFIX}use-local-weights": ("false",),
    f"{_PREFIX}model-streaming": ("disabled",),
}
"""Values that ask for what happens here anyway."""

_INSTEAD = {
    f"{_PREFIX}disable-benchmark": "no benchmark runs before a workspace is ready, so there is none to disable",
    f"{_PREFIX}performance-mode": "vLLM's defaults are used; maxContext and maxSequences of inference.config decide "
    "between latency and throughput",
    f"{_PREFIX}use-local-weights": "weights come from the preset's source; a directory of the nodes is named in "
    "presetOptions.weights (file:/DIRECTORY) of the stack config",
    f"{_PREFIX}model-streaming": "weights are downloaded to the node and loaded from there",
    f"{_PREFIX}model-mirror-storage-class": "there is no mirror of weights; each node downloads them from their source",
    f"{_PREFIX}streaming-service-account": "nothing is streamed from object storage; weights are downloaded with the "
    "token of modelAccessSecret",
}
_KNOWN = (_RUNTIME, _LOAD_BALANCER, _SKIP_CHECKS, _IMAGE_FAMILY, _NODE_CLASS, *_INSTEAD)


def honoured(annotations: Mapping[str, str], place: Place, findings: Findings) -> tuple[dict[str, Any], dict[str, Any]]:
    """Fields of a workspace, and fields of its resource, that the annotations at `place` stand for."""
    workspace: dict[str, Any] = {}
    resource: dict[str, Any] = {}
    for name in sorted(annotations):
        value, here = annotations[name], place.at(name)
        if name == _RUNTIME:
            workspace |= _choice(value, ("vllm", "transformers"), "engine", here, findings)
        elif name == _LOAD_BALANCER:
            workspace |= _load_balancer(value, here, findings)
        elif name == _SKIP_CHECKS:
            resource["skipMemoryCheck"] = True
            if value.lower() == "false":
                findings.warn(
                    here, 'memory checks are skipped although it says "false": as in KAITO, any value does that'
                )
        elif name == _IMAGE_FAMILY:
            resource |= _choice(value.strip().lower(), ("ubuntu", "azurelinux"), "imageFamily", here, findings)
        elif name == _NODE_CLASS:
            resource |= {"nodeClass": value} if value else {}
        elif name.startswith(_PREFIX):
            _without_counterpart(name, value, here, findings)
    autoscaling = [name.removeprefix(_AUTOSCALING) for name in sorted(annotations) if name.startswith(_AUTOSCALING)]
    if autoscaling:
        findings.warn(
            place,
            f"{_AUTOSCALING}{{{', '.join(autoscaling)}}} not honoured: there is no autoscaling in this version, "
            "the replicas stay as many as are written",
        )
    return workspace, resource


def _choice(value: str, choices: tuple[str, ...], field: str, place: Place, findings: Findings) -> dict[str, str]:
    if value in choices:
        return {field: value}
    likely = nearest(value, choices, limit=1)
    findings.refuse(
        place,
        found=shown(value),
        allowed=f"one of {', '.join(choices)}",
        do=f"write {likely[0]}" if likely else f"write {choices[0]}, or remove it",
    )
    return {}


def _load_balancer(value: str, place: Place, findings: Findings) -> dict[str, bool]:
    if value == "True":
        return {"loadBalancer": True}
    if value.lower() != "false":
        findings.warn(place, f'"{value}" means no load balancer, as in KAITO: only "True" asks for one')
    return {}


def _without_counterpart(name: str, value: str, place: Place, findings: Findings) -> None:
    if name not in _INSTEAD:
        likely = nearest(name, _KNOWN, limit=1)
        hint = f"did you mean {likely[0]}?" if likely else f"known are {', '.join(_KNOWN)}"
        findings.warn(place, f"not honoured, as KAITO does not know it either; {hint}")
    elif name in _CHOICES and value not in _CHOICES[name]:
        _choice(value, _CHOICES[name], "", place, findings)
    elif value not in _HAS_NO_EFFECT.get(name, ()):
        findings.warn(place, f"not honoured: {_INSTEAD[name]}")
