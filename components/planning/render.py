"""Canonical bytes of what an update sends: the same plan gives the same text, so that "no change" is no change."""

from __future__ import annotations

import json
from dataclasses import dataclass

from pydantic import JsonValue

from components.planning.local_plan import WorkspacePlan
from presets.serve_config import DEPLOYMENT, IMPORT_PATH, ServeArgs, ServiceSettings

SPARE_REQUESTS = 64
"""Requests beyond those that the engine admits which Ray Serve still hands to a replica: health, metrics, the list of
models, and completions to be refused with the engine's own 429 instead of waiting unseen in Serve's queue."""

HEALTH_CHECK_PERIOD_S = 5
"""A replica is replaced after three failed checks; Serve's own 10 s would leave a dead one for half a minute."""

HEALTH_CHECK_TIMEOUT_S = 30
"""Serve's default: a busy machine of two cores answers late without being ill."""

GRACEFUL_SHUTDOWN_TIMEOUT_S = 60
"""How long a replica that goes may finish its streams."""


@dataclass(frozen=True, kw_only=True)
class Served:
    """What an application of Ray Serve is rendered from, on any target."""

    route: str
    args: ServeArgs
    settings: ServiceSettings
    replicas: int
    num_cpus: float
    """Of one replica, in Ray's books."""
    num_gpus: float
    """Of one replica."""
    surge: bool
    """Whether new replicas start beside the old ones."""


def application_config(workspace: WorkspacePlan) -> dict[str, JsonValue]:
    """A workspace of this machine as an application."""
    return application(
        Served(
            route=workspace.route,
            args=workspace.serve_args,
            settings=workspace.settings,
            replicas=workspace.replicas,
            num_cpus=workspace.num_cpus,
            num_gpus=workspace.num_gpus,
            surge=workspace.surge,
        )
    )


def application(served: Served) -> dict[str, JsonValue]:
    """An application of Ray Serve's declarative schema (ServeApplicationSchema)."""
    return {
        "name": served.args.workspace,
        "route_prefix": served.route,
        "import_path": IMPORT_PATH,
        "args": served.args.model_dump(mode="json"),
        "deployments": [_deployment(served)],
    }


def _deployment(served: Served) -> dict[str, JsonValue]:
    admitted = served.args.engine.max_sequences + served.settings.max_waiting_requests
    return {
        "name": DEPLOYMENT,
        "num_replicas": served.replicas,
        "max_ongoing_requests": admitted + SPARE_REQUESTS,
        "ray_actor_options": {"num_cpus": served.num_cpus, "num_gpus": served.num_gpus},
        "user_config": served.settings.model_dump(mode="json"),
        "health_check_period_s": HEALTH_CHECK_PERIOD_S,
        "health_check_timeout_s": HEALTH_CHECK_TIMEOUT_S,
        "graceful_shutdown_timeout_s": GRACEFUL_SHUTDOWN_TIMEOUT_S,
        "max_surge_percent": 100 if served.surge else 0,
    }


def canonical_json(value: JsonValue) -> str:
    """JSON with sorted keys and no spaces; equal values give equal text.

    >>> canonical_json({"b": 1, "a": [True, None]})
    '{"a":[true,null],"b":1}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
