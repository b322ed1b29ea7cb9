"""The nodes that a workspace runs on."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi


@dataclass(frozen=True, kw_only=True)
class GpuNodePoolArgs:
    where: str
    """As people call the nodes."""
    nodes: int
    gpus: int
    """Of all nodes together."""


class GpuNodePool(pulumi.ComponentResource):
    """Nodes of one size. On target local the one node is this machine, so that there is nothing to create."""

    where: str

    def __init__(self, name: str, args: GpuNodePoolArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("modelyard:index:GpuNodePool", name, None, opts)
        self.where = args.where
        self.register_outputs({"where": args.where, "nodes": args.nodes, "gpus": args.gpus})
