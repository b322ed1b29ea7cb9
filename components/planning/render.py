"""Canonical bytes of what an update sends: the same plan gives the same text, so that "no change" is no change."""

from __future__ import annotations

import json

from pydantic import JsonValue

from components.planning.local_plan import WorkspacePlan
from presets.serve_config import DEPLOYMENT, IMPORT_PATH

SPARE_REQUESTS = 64
"""Requests beyond those that the engine admits which Ray Serve still hands to a replica: health, metrics, the list of
models, and completions to be refused with the engine's own 429 instead of waiting unseen in Serve's queue."""

HEALTH_CHECK_PERIOD_S = 5
"""A replica is replaced after three failed checks; Serve's own 10 s would leave a dead one for half a minute."""

HEALTH_CHECK_TIMEOUT_S = 30
"""Serve's default: a busy machine of two cores answers late without being ill."""

GRACEFUL_SHUTDOWN_TIMEOUT_S = 60
"""How long a replica that goes may finish its streams."""


def application_config(workspace: WorkspacePlan) -> dict[str, JsonValue]:
    """The workspace as an application of Ray Serve's declarative schema (ServeApplicationSchema)."""
    return {
        "name": workspace.name,
        "route_prefix": workspace.route,
        "import_path": IMPORT_PATH,
        "args": workspace.serve_args.model_dump(mode="json"),
        "deployments": [_deployment(workspace)],
    }


def _deployment(workspace: WorkspacePlan) -> dict[str, JsonValue]:
    admitted = workspace.serve_args.engine.max_sequences + workspace.settings.max_waiting_requests
    return {
        "name": DEPLOYMENT,
        "num_replicas": workspace.replicas,
        "max_ongoing_requests": admitted + SPARE_REQUESTS,
        "ray_actor_options": {"num_cpus": workspace.num_cpus, "num_gpus": workspace.num_gpus},
        "user_config": workspace.settings.model_dump(mode="json"),
        "health_check_period_s": HEALTH_CHECK_PERIOD_S,
        "health_check_timeout_s": HEALTH_CHECK_TIMEOUT_S,
        "graceful_shutdown_timeout_s": GRACEFUL_SHUTDOWN_TIMEOUT_S,
        "max_surge_percent": 100 if workspace.surge else 0,
    }


def canonical_json(value: JsonValue) -> str:
    """JSON with sorted keys and no spaces; equal values give equal text.

    >>> canonical_json({"b": 1, "a": [True, None]})
    '{"a":[true,null],"b":1}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
