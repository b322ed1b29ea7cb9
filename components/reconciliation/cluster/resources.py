"""The dynamic resource of a workspace on a cluster, as a program declares it; its provider does the work.

A dynamic resource's attributes have the names of its properties in the state, hence the camelCase.
"""

from __future__ import annotations

from typing import Any

import pulumi
from pulumi.dynamic import Resource

from components.reconciliation.cluster.provider import ClusterWorkspaceProvider

OUTPUTS = ("conditions", "phases", "performance", "workerNodes", "rayVersion", "createdAt", "mirrored", "drift")


class ClusterWorkspace(Resource, module="modelyard", name="ClusterWorkspace"):
    """One workspace on a cluster, reconciled until it answers."""

    conditions: pulumi.Output[list[dict[str, str]]]
    phases: pulumi.Output[dict[str, float]]
    performance: pulumi.Output[dict[str, float]]
    workerNodes: pulumi.Output[list[str]]
    rayVersion: pulumi.Output[str]
    createdAt: pulumi.Output[str]
    mirrored: pulumi.Output[bool]
    drift: pulumi.Output[str]

    def __init__(self, name: str, inputs: dict[str, Any], opts: pulumi.ResourceOptions | None = None) -> None:
        """`inputs`: those of components.reconciliation.cluster.provider.INPUTS."""
        super().__init__(ClusterWorkspaceProvider(), name, {**inputs, **dict.fromkeys(OUTPUTS)}, opts)
