"""What an update left in the resources of a stack: read from a state, with or without Pulumi."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import urlsplit

from components.planning.record import Record

APPLICATION_TYPE = "pulumi-python:dynamic/modelyard:ServeApplication"
WORKSPACE_TYPE = "modelyard:index:Workspace"
RAY_TYPE = "pulumi-python:dynamic/modelyard:LocalRay"
TUNING_TYPE = "pulumi-python:dynamic/modelyard:TuningRun"
PROMOTION_TYPE = "pulumi-python:dynamic/modelyard:AdapterPromotion"
CLUSTER_TYPE = "pulumi-python:dynamic/modelyard:ClusterWorkspace"


@dataclass(frozen=True)
class Deployed:
    """Properties of resources, as the last update or refresh left them."""

    applications: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    """By workspace name."""
    tunings: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    """Tunings of this machine, by workspace name; under `served` the source of the version that is promoted."""
    on_cluster: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    """What is reconciled on a cluster, by workspace name."""
    ray: dict[str, Any] = field(default_factory=dict[str, Any])
    """Empty if there is none."""
    records: dict[str, Record] = field(default_factory=dict[str, Record])
    """What components.planning.record left of each workspace, by its name."""


def from_resources(resources: Iterable[object]) -> Deployed:
    """`resources` have `type` and `outputs`, as a state and as the engine give them.

    What is not as this version writes it is left out: another one may have written it, or a person.
    """
    known = [(_map(resource).get("type"), _map(_map(resource).get("outputs"))) for resource in resources]
    applications = [application for kind, found in known if kind == APPLICATION_TYPE if (application := _app(found))]
    rays = [ray for kind, found in known if kind == RAY_TYPE if (ray := _ray(found))]
    plans = [_map(found.get("plan")) for kind, found in known if kind == WORKSPACE_TYPE]
    return Deployed(
        applications={application["name"]: application for application in applications},
        tunings=_tunings(known),
        on_cluster={
            found["name"]: dict(found) for kind, found in known if kind == CLUSTER_TYPE and _is_reconciled(found)
        },
        ray=rays[0] if rays else {},
        records={plan["name"]: dict(plan) for plan in plans if _is_name(plan.get("name"))},
    )


def _tunings(known: Iterable[tuple[Any, Mapping[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Of tunings with a name and a job; what of them is served, beside."""
    listed = list(known)
    served = {str(found.get("name")): found.get("source") for kind, found in listed if kind == PROMOTION_TYPE}
    return {
        found["name"]: {**found, "served": served.get(found["name"]) or ""}
        for kind, found in listed
        if kind == TUNING_TYPE and _is_name(found.get("name")) and _is_map(found.get("job"))
    }


def _is_map(text: object) -> bool:
    try:
        return isinstance(text, str) and isinstance(json.loads(text), Mapping)
    except (ValueError, RecursionError):
        return False


def _app(outputs: Mapping[str, Any]) -> dict[str, Any]:
    """Of an application with a name and a config; empty otherwise."""
    config, drift = outputs.get("config"), outputs.get("drift")
    if not (_is_name(outputs.get("name")) and _is_map(config)):
        return {}
    return dict(outputs) | ({} if isinstance(drift, str) else {"drift": ""})


def _is_reconciled(outputs: Mapping[str, Any]) -> bool:
    """Whether they are those of a workspace on a cluster, in the form of this version."""
    texts = ("name", "namespace", "wanted", "endpoint", "createdAt")
    return all(_is_name(outputs.get(key)) for key in texts) and isinstance(outputs.get("conditions"), list)


def _ray(outputs: Mapping[str, Any]) -> dict[str, Any]:
    """Of a Ray whose ports can be told, or of one that has not started; empty otherwise."""
    if "serveUrl" not in outputs:
        return dict(outputs)
    urls = outputs["serveUrl"], outputs.get("dashboardUrl")
    try:
        ports = [urlsplit(url).port for url in urls if isinstance(url, str)]
    except ValueError:
        return {}
    return dict(outputs) if len(ports) == len(urls) and "environment" in outputs else {}


def _map(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def _is_name(value: object) -> bool:
    return isinstance(value, str) and value != ""
