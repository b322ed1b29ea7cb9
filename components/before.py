"""What the last update left, in the words of planning."""

from __future__ import annotations

import json
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from components.deployed_state import Deployed
from components.fingerprints import PROJECT, serving_environment
from components.planning.config import RaySpec
from components.planning.local_changes import ray_restart
from components.planning.plan import Plan
from components.planning.preview import Before
from components.planning.tuning_changes import Tuned
from components.reconciliation.tuning.inputs import data_changed
from presets.tuning_job import DataSettings


def before_of(plan: Plan, deployed: Deployed) -> Before:
    """What a plan is compared with."""
    applications = deployed.applications
    running = _running(deployed.ray)
    return Before(
        records=deployed.records,
        applications={name: json.loads(application["config"]) for name, application in applications.items()},
        drift={name: application.get("drift") or "" for name, application in applications.items()},
        tuned={name: _tuned(found) for name, found in deployed.tunings.items()},
        restart=ray_restart(ray_settings(plan.ray), running) if running else "",
        serve_port=running.get("servePort"),
    )


def _tuned(found: dict[str, Any]) -> Tuned:
    directory = found.get("adapterDirectory") or ""
    job = json.loads(found["job"])
    return Tuned(
        job=job,
        drift=found.get("drift")
        or data_changed(found.get("dataFingerprint"), DataSettings.model_validate(job["data"])),
        promoted=found.get("served") or "",
        versions=str(PurePosixPath(directory).parent) if directory else "",
    )


def _running(ray: dict[str, Any]) -> dict[str, Any]:
    """The settings of the Ray that runs: its real ports where the config leaves them open."""
    if "serveUrl" not in ray:
        return {}
    ports = {"servePort": urlsplit(ray["serveUrl"]).port, "dashboardPort": urlsplit(ray["dashboardUrl"]).port}
    return {"environment": ray["environment"], "numCpus": ray.get("numCpus"), **ports}


def ray_settings(spec: RaySpec) -> dict[str, Any]:
    """What decides whether a running Ray fits; an open port is None."""
    return {
        "environment": serving_environment(PROJECT),
        "servePort": spec.serve_port,
        "dashboardPort": spec.dashboard_port,
        "numCpus": spec.num_cpus,
    }
