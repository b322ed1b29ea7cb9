"""The dynamic resources of a tuning as a program declares them; their providers do the work.

A dynamic resource's attributes have the names of its properties in the state, hence the camelCase.
"""

from __future__ import annotations

from typing import Any

import pulumi
from pulumi.dynamic import Resource

from components.reconciliation.tuning.provider import AdapterPromotionProvider, TuningRunProvider

_OUTPUTS = (
    *("conditions", "createdAt", "steps", "loss", "metrics", "adapterDigest", "adapterDirectory", "imageDigest"),
    *("gatePassed", "gateFailures", "dataFingerprint", "weightsDigest", "seconds", "drift"),
)


class TuningRun(Resource, module="modelyard", name="TuningRun"):
    """One tuning on this machine's Ray, waited for."""

    conditions: pulumi.Output[list[dict[str, str]]]
    createdAt: pulumi.Output[str]
    steps: pulumi.Output[int]
    loss: pulumi.Output[float]
    metrics: pulumi.Output[dict[str, float]]
    adapterDigest: pulumi.Output[str]
    adapterDirectory: pulumi.Output[str]
    imageDigest: pulumi.Output[str]
    gatePassed: pulumi.Output[bool]
    gateFailures: pulumi.Output[list[str]]
    dataFingerprint: pulumi.Output[str]
    weightsDigest: pulumi.Output[str]
    seconds: pulumi.Output[float]
    drift: pulumi.Output[str]

    def __init__(self, name: str, inputs: dict[str, Any], opts: pulumi.ResourceOptions | None = None) -> None:
        """`inputs`: those of components.reconciliation.tuning.provider.INPUTS."""
        super().__init__(TuningRunProvider(), name, {**inputs, **dict.fromkeys(_OUTPUTS)}, opts)


class AdapterPromotion(Resource, module="modelyard", name="AdapterPromotion"):
    """The version of an adapter that is served."""

    source: pulumi.Output[str]
    """In the grammar of presets.adapter_source."""

    def __init__(self, name: str, inputs: dict[str, Any], opts: pulumi.ResourceOptions | None = None) -> None:
        """`inputs`: name, adapterDirectory, gatePassed, gateFailures, isPinned."""
        super().__init__(AdapterPromotionProvider(), name, {**inputs, "source": None}, opts)
