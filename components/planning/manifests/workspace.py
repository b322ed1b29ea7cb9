"""All that one workspace is on a cluster, in the order in which it is applied."""

from __future__ import annotations

from dataclasses import dataclass

from components.planning.manifests.exposure import exposure
from components.planning.manifests.guards import guards
from components.planning.manifests.nodes import node_manifests
from components.planning.manifests.prefetch import prefetch
from components.planning.manifests.ray_service import ray_service
from components.planning.manifests.scope import Manifest, Scope
from components.planning.manifests.template import template_manifests
from components.planning.placed import PlacedWorkspace


@dataclass(frozen=True, kw_only=True)
class WorkspaceManifests:
    nodes: tuple[Manifest, ...]
    """What makes its nodes."""
    service: tuple[Manifest, ...]
    """What serves, the main object last."""


def workspace_manifests(workspace: PlacedWorkspace, scope: Scope, *, beside: bool) -> WorkspaceManifests:
    """beside: whether new replicas may start beside the old ones, on nodes of their own."""
    nodes = tuple(node_manifests(workspace, scope))
    outside = exposure(workspace.name, scope)
    if workspace.kind == "template":
        return WorkspaceManifests(nodes=nodes, service=(*outside, *template_manifests(workspace, scope)))
    service = ray_service(workspace, scope, beside=beside)
    return WorkspaceManifests(
        nodes=nodes,
        service=(*guards(workspace, scope), *prefetch(workspace, scope), *outside, service),
    )
