"""What Pulumi calls: two dynamic resources over the reconciliation.

Pulumi keeps a reference to these classes in the state (module and name, no data), so neither may be renamed or hold
anything. Calls come in threads of one process; an exception leaves nothing in the state, so what failed half way is
taken back before it is raised. No property is a secret.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import Timeout
from pulumi.dynamic import ConfigureRequest, CreateResult, DiffResult, ReadResult, ResourceProvider, UpdateResult

from components.reconciliation import weights
from components.reconciliation.adapters import adapters_finding, wanted_adapters
from components.reconciliation.decide import (
    describe_drift,
    findings_of,
    inference_finding,
    resource_finding,
    transition,
)
from components.reconciliation.lifeline import end_with_engine
from components.reconciliation.local_ray import LocalRay, RayFailed, RayRecord, RayWish
from components.reconciliation.ports import PortTaken
from components.reconciliation.progress import say
from components.reconciliation.ray_dashboard import RayDashboard, RayUnreachable, ServeRejected
from components.reconciliation.service import NotReady, Outcome, reconcile, until_ready
from components.reconciliation.serving_environment import ServingEnvironmentMissing
from components.reconciliation.state import Desired, Observed

Props = dict[str, Any]


class ReconciliationFailed(Exception):
    """Ends `pulumi up` with one sentence: the reason and the way out."""


RAY_INPUTS = ("stack", "environment", "servePort", "dashboardPort", "numCpus")
APPLICATION_INPUTS = (
    "name", "stack", "config", "replicas", "weights", "where", "endpoint", "instance", "readyTimeoutSeconds",
)  # fmt: skip


class LocalRayProvider(ResourceProvider):
    """This machine's Ray for one stack."""

    serialize_as_secret_always = False

    def configure(self, req: ConfigureRequest) -> None:
        """Pulumi calls this once in every process that it starts for this class."""
        end_with_engine()

    def diff(self, _id: str, _olds: Props, _news: Props) -> DiffResult:
        return DiffResult(changes=_changed(RAY_INPUTS, _olds, _news))

    def create(self, props: Props) -> CreateResult:
        return CreateResult(f"ray-{props['stack']}", self._ensure(props))

    def update(self, _id: str, _olds: Props, _news: Props) -> UpdateResult:
        return UpdateResult(self._ensure(_news))

    def read(self, id_: str, props: Props) -> ReadResult:
        return ReadResult(id_, {**props, "drift": self._drift(props)})

    def delete(self, _id: str, _props: Props) -> None:
        _local_ray(_props).stop()

    def _drift(self, props: Props) -> str:
        ray = _local_ray(props)
        record = ray.record()
        if record is not None and any(props[key] != value for key, value in _ray_outputs(record).items()):
            return "another Ray runs than the last update has recorded"
        return ray.problem()

    def _ensure(self, props: Props) -> Props:
        wish = RayWish(
            serve_port=_whole(props.get("servePort")),
            dashboard_port=_whole(props.get("dashboardPort")),
            num_cpus=_whole(props.get("numCpus")),
            environment=props["environment"],
        )
        with _explained():
            record = _local_ray(props).ensure(wish, say)
        return {**props, **_ray_outputs(record), "drift": ""}


class ServeApplicationProvider(ResourceProvider):
    """One workspace's application on the stack's Ray Serve."""

    serialize_as_secret_always = False

    def configure(self, req: ConfigureRequest) -> None:
        """Pulumi calls this once in every process that it starts for this class."""
        end_with_engine()

    def diff(self, _id: str, _olds: Props, _news: Props) -> DiffResult:
        return DiffResult(changes=_changed(APPLICATION_INPUTS, _olds, _news))

    def create(self, props: Props) -> CreateResult:
        try:
            return CreateResult(props["name"], self._apply(props, before=None))
        except Exception as failure:
            raise ReconciliationFailed(f"{failure}{self._take_back(props)}") from failure

    def update(self, _id: str, _olds: Props, _news: Props) -> UpdateResult:
        try:
            return UpdateResult(self._apply(_news, before=_olds))
        except Exception as failure:
            raise ReconciliationFailed(f"{failure}; {self._put_back(_olds)}") from failure

    def read(self, id_: str, props: Props) -> ReadResult:
        """What refresh shows: conditions as they are now, and under `drift` what differs from the desired state."""
        desired = _desired(props)
        observed = observe(props)
        resource = resource_finding(observed, props["where"])
        conditions = transition(
            findings_of(resource, inference_finding(desired, observed), adapters_finding(desired, observed)),
            props["conditions"],
            _now(),
        )
        outputs = {"conditions": [condition.to_output() for condition in conditions]}
        return ReadResult(id_, {**props, **outputs, "drift": describe_drift(desired, observed)})

    def delete(self, _id: str, _props: Props) -> None:
        ray = _local_ray(_props)
        if ray.is_gone():
            return  # An application does not outlive its Ray. A Ray that is only silent fails this step.
        with _explained(), _dashboard(ray) as dashboard:
            dashboard.remove(_props["name"])

    def _apply(self, props: Props, before: Props | None) -> Props:
        desired = _desired(props)
        with _explained():
            begun = datetime.now(UTC)
            fetched = weights.fetch(Path.cwd(), props["weights"], lambda text: say(f"{desired.name}: {text}"))
            adapters = wanted_adapters(desired.config)
            weights.fetch_adapters(Path.cwd(), adapters, fetched.path, lambda text: say(f"{desired.name}: {text}"))
            seconds = (datetime.now(UTC) - begun).total_seconds()
            with _dashboard(_local_ray(props)) as dashboard:
                outcome = reconcile(dashboard, desired, props["endpoint"], props["readyTimeoutSeconds"], say)
        return _application_outputs(props, outcome, before, seconds) | {"weightsDigest": fetched.digest}

    def _take_back(self, props: Props) -> str:
        """After a failed create nothing is in the state, so nothing may be left; a clause that says if something is."""
        try:
            self.delete(props["name"], props)
        except ReconciliationFailed as problem:
            return f"; it could not be taken out of Ray Serve again either: {problem}"
        return ""

    def _put_back(self, olds: Props) -> str:
        """After a failed update the state has the old config, so that is brought back; a clause that says how."""
        ray = _local_ray(olds)
        try:
            with _explained(), _dashboard(ray) as dashboard:
                until_ready(dashboard, _desired(olds), olds["readyTimeoutSeconds"], say)
        except ReconciliationFailed as problem:
            return f"the config of the last successful update could not be brought back either: {problem}"
        return "the config of the last successful update is served"


def observe(props: Mapping[str, Any]) -> Observed:
    """What is there now of a deployed application, given its properties."""
    ray = _local_ray(props)
    record = ray.record()
    if record is None or ray.is_gone():
        return Observed(ray_problem=ray.problem())
    with ray.dashboard(record) as dashboard:
        return dashboard.observe(props["name"])


def _application_outputs(props: Props, outcome: Outcome, before: Props | None, fetching: float) -> Props:
    now = _now()
    adapters = adapters_finding(_desired(props), outcome.observed)
    findings = findings_of(resource_finding(outcome.observed, props["where"]), outcome.finding, adapters)
    conditions = transition(findings, (before or {}).get("conditions", ()), now)
    return {
        **props,
        "conditions": [condition.to_output() for condition in conditions],
        "phases": {name: round(seconds, 3) for name, seconds in {"weights": fetching, **outcome.phases}.items()},
        "rayVersion": outcome.observed.ray_version,
        "createdAt": (before or {}).get("createdAt", now),
        "drift": "",
    }


def _ray_outputs(record: RayRecord) -> Props:
    return {"instance": record.instance, "dashboardUrl": record.dashboard_url, "serveUrl": record.serve_url}


def _desired(props: Mapping[str, Any]) -> Desired:
    return Desired(name=props["name"], config=json.loads(props["config"]), replicas=int(props["replicas"]))


def _changed(inputs: tuple[str, ...], olds: Props, news: Props) -> bool:
    """Whether an input differs, or the last refresh found drift."""
    return bool(olds.get("drift")) or any(olds.get(key) != news.get(key) for key in inputs)


def _local_ray(props: Mapping[str, Any]) -> LocalRay:
    return LocalRay(Path.cwd(), props["stack"])


def _dashboard(ray: LocalRay) -> RayDashboard:
    record = ray.record()
    if record is None:
        raise ReconciliationFailed("Ray is not running; run pulumi up --refresh")
    return ray.dashboard(record)


@contextmanager
def _explained() -> Iterator[None]:
    """Failures that have a cause and a way out, as the one exception whose text is for people."""
    try:
        yield
    except weights.WeightsFailed as problem:
        raise ReconciliationFailed(f"{problem.reason}: {problem}") from problem
    except NotReady as problem:
        raise ReconciliationFailed(str(problem)) from problem
    except (RayUnreachable, ServeRejected, Timeout) as problem:
        raise ReconciliationFailed(f"{problem}; run pulumi up --refresh") from problem
    except (PortTaken, RayFailed, ServingEnvironmentMissing) as problem:
        raise ReconciliationFailed(str(problem)) from problem


def _whole(value: float | None) -> int | None:
    """Pulumi hands every number over as a float."""
    return None if value is None else int(value)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
