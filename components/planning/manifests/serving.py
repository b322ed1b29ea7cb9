"""A workspace's Ray Serve application on a cluster, and the Serve config that KubeRay sends for it."""

from __future__ import annotations

from pydantic import JsonValue

from components.planning.adapter_rules import adapter_source
from components.planning.cluster_engine import engine_args
from components.planning.cluster_weights import fetched_source, mounts_image
from components.planning.config import AdapterDataSource, PresetSpec
from components.planning.manifests.scope import Scope
from components.planning.manifests.volumes import Volumes
from components.planning.placed import PlacedWorkspace
from components.planning.render import Served, application, canonical_json
from components.planning.service_settings import service_settings
from presets.placement import Placement
from presets.serve_config import ServeArgs

PORT = 8000
"""Of Ray Serve's HTTP proxies, in every pod."""
REPLICA_CPUS = 1.0
"""Of a replica in Ray's books; a worker pod has WORKER_CPUS of them, for one replica and what Ray starts beside it."""
ROUTE = "/"
"""The whole host: each workspace has a Ray of its own."""


def serve_config(workspace: PlacedWorkspace, scope: Scope, *, surge: bool) -> dict[str, JsonValue]:
    """Ray Serve's declarative config (ServeDeploySchema)."""
    return {
        "proxy_location": "EveryNode",
        "http_options": {"host": "0.0.0.0", "port": PORT},
        "applications": [application_of(workspace, scope, surge=surge)],
    }


def serve_config_text(workspace: PlacedWorkspace, scope: Scope, *, surge: bool) -> str:
    """KubeRay compares it with the one before as text, so it is canonical; JSON is YAML."""
    return canonical_json(serve_config(workspace, scope, surge=surge))


def application_of(workspace: PlacedWorkspace, scope: Scope, *, surge: bool) -> dict[str, JsonValue]:
    """Of a workspace that serves a preset on nodes of known size."""
    placement, inference, facts = workspace.model, workspace.spec.inference, workspace.facts
    assert isinstance(placement, Placement)
    assert inference is not None
    assert inference.preset is not None
    assert facts is not None
    args = ServeArgs(
        workspace=workspace.name,
        preset=inference.preset.name,
        weights=weights_of(inference.preset, facts.weights_source, scope),
        tool_parser=facts.parsers.tool or None,
        reasoning_parser=facts.parsers.reasoning or None,
        engine=engine_args(workspace),
        code_version=scope.delivery.digest,
    )
    return application(
        Served(
            route=ROUTE,
            args=args,
            settings=service_settings(inference, workspace.api_keys, _adapter_place),
            replicas=workspace.replicas,
            num_cpus=REPLICA_CPUS,
            num_gpus=float(placement.split.gpus),
            surge=surge,
        )
    )


def weights_of(preset: PresetSpec, own: str, scope: Scope) -> str:
    """The weights source of the pods: a mounted image's files are read where they lie."""
    if mounts_image(preset.preset_options, scope.spec):
        return f"file:{Volumes.IMAGE}"
    return fetched_source(preset.preset_options, own, scope.spec)


def _adapter_place(source: AdapterDataSource) -> str | None:
    """Any volume is mounted, a node's directory too: pods see nothing else of their node."""
    return f"file:{Volumes.ADAPTERS}/{source.name}" if source.volume_source else adapter_source(source)
