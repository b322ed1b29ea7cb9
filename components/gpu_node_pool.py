"""The nodes that a workspace runs on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi

from components.cluster_objects import cluster_object
from components.planning.manifests.scope import Manifest


@dataclass(frozen=True, kw_only=True)
class GpuNodePoolArgs:
    where: str
    """As people call the nodes."""
    nodes: int
    gpus: int
    """Of all nodes together."""
    objects: tuple[Manifest, ...] = ()
    """What makes the nodes on a cluster: a NodePool or NodeClaims; none where they are there already."""
    after: Sequence[pulumi.Resource] = ()
    """What has to be there before them."""


class GpuNodePool(pulumi.ComponentResource):
    """Nodes of one size. On target local the one node is this machine, so that there is nothing to create."""

    where: str
    objects: list[pulumi.Resource]

    def __init__(self, name: str, args: GpuNodePoolArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("modelyard:index:GpuNodePool", name, None, opts)
        self.where = args.where
        child = pulumi.ResourceOptions(parent=self)
        self.objects = [cluster_object(manifest, child, args.after) for manifest in args.objects]
        self.register_outputs({"where": args.where, "nodes": args.nodes, "gpus": args.gpus})
