"""The dynamic resources as a program declares them; their providers do the work.

A dynamic resource's attributes have the names of its properties in the state, hence the camelCase.
"""

from __future__ import annotations

from typing import Any

import pulumi
from pulumi.dynamic import Resource

from components.reconciliation.provider import LocalRayProvider, ServeApplicationProvider


class LocalRay(Resource, module="modelyard", name="LocalRay"):
    """This machine's Ray for one stack."""

    instance: pulumi.Output[str]
    dashboardUrl: pulumi.Output[str]
    serveUrl: pulumi.Output[str]
    drift: pulumi.Output[str]

    def __init__(self, name: str, inputs: dict[str, Any], opts: pulumi.ResourceOptions | None = None) -> None:
        """`inputs`: stack, environment, and where pinned servePort, dashboardPort, numCpus."""
        outputs = {"instance": None, "dashboardUrl": None, "serveUrl": None, "drift": None}
        super().__init__(LocalRayProvider(), name, {**inputs, **outputs}, opts)


class ServeApplication(Resource, module="modelyard", name="ServeApplication"):
    """One workspace's application on the stack's Ray Serve."""

    conditions: pulumi.Output[list[dict[str, str]]]
    phases: pulumi.Output[dict[str, float]]
    rayVersion: pulumi.Output[str]
    weightsDigest: pulumi.Output[str]
    createdAt: pulumi.Output[str]
    drift: pulumi.Output[str]

    def __init__(self, name: str, inputs: dict[str, Any], opts: pulumi.ResourceOptions | None = None) -> None:
        """`inputs`: name, stack, config (canonical JSON), replicas, weights, where, endpoint, instance, timeout."""
        names = ("conditions", "phases", "rayVersion", "weightsDigest", "createdAt", "drift")
        outputs = dict.fromkeys(names)
        super().__init__(ServeApplicationProvider(), name, {**inputs, **outputs}, opts)
