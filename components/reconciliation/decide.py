"""The pure core of reconciliation. No network, no clock: same arguments, same answer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, cast

from components.reconciliation.adapters import adapters_finding, is_loading
from components.reconciliation.state import (
    Application,
    Condition,
    ConditionType,
    Decision,
    Desired,
    Finding,
    Observed,
    PutApplication,
    Readiness,
    RemoveApplication,
    not_ready,
    ready,
)

_STARTUP_FAILURE = re.compile(r"StartupFailure: \[(?P<reason>\w+)\] (?P<message>[^\n]+)")
_EXCEPTION_LINE = re.compile(
    r"^(?:[\w.]+\.)?(?P<type>\w*(?:Error|Exception|Failure|Exit|Interrupt))\b:? ?(?P<message>.*)$"
)
_CLEAR_AND_RETRY = "correct it and run pulumi up again"


def decide(desired: Desired, observed: Observed) -> Decision:
    """The next actions, and the finding for InferenceReady, or for AdaptersReady while the adapters are not."""
    app = observed.application
    if observed.ray_problem:
        return Decision((), not_ready("RayUnreachable", observed.ray_problem))
    if app is None:
        return Decision((PutApplication(),), not_ready("Deploying", "the Serve config was sent to Ray"))
    if app.status == "DELETING":
        return Decision((), not_ready("Deleting", "an earlier application of this name is still being removed"))
    changes = drift(desired.config, app.config)
    if changes and not desired.sent:
        return Decision((PutApplication(),), not_ready("Deploying", "the Serve config was sent to Ray"))
    if app.status == "DEPLOY_FAILED" and not desired.sent:
        # Ray Serve does not try a failed deployment again while its config is the same, so clear it first.
        return Decision((RemoveApplication(),), not_ready("Retrying", "an earlier failed deployment is being removed"))
    if changes:
        return Decision((), not_ready("Deploying", "Ray Serve has not taken over the config yet"))
    if app.status == "DEPLOY_FAILED":
        reason, message = failure_of(app)
        return Decision((), not_ready(reason, f"{message}; {_CLEAR_AND_RETRY}"), final=True)
    finding = health(desired.replicas, app, observed.readiness)
    adapters = adapters_finding(desired, observed) if finding.status == "True" else None
    if adapters is None or adapters.status == "True":
        return Decision((), finding)
    return Decision((), adapters, final=not is_loading(adapters))


def health(replicas: int, app: Application, readiness: Readiness | None) -> Finding:
    """InferenceReady of an application whose config is the desired one."""
    if app.status == "DEPLOY_FAILED":
        return not_ready(*failure_of(app))
    if app.running < replicas:
        return not_ready("ReplicasStarting", f"{app.running} of {replicas} replicas run{_why_not(app)}")
    if app.status not in ("RUNNING", "UNHEALTHY"):
        return not_ready("ReplicasStarting", f"Ray Serve reports {app.status}")
    if readiness is None:
        return not_ready("EndpointSilent", "the replicas run, but the endpoint does not answer")
    if not readiness.ok:
        return not_ready(readiness.reason or "NotReady", readiness.message or "the service says that it is not ready")
    if app.status == "UNHEALTHY":
        return not_ready("Unhealthy", _first_line(app.deployment_message or app.message) or "a health check failed")
    return ready("ReplicasReady", f"{app.running} of {replicas} replicas run and the endpoint answers")


def inference_finding(desired: Desired, observed: Observed) -> Finding:
    """InferenceReady of an application as it is found, whoever deployed it."""
    if observed.ray_problem:
        return not_ready("RayUnreachable", observed.ray_problem)
    if observed.application is None or observed.application.status == "DELETING":
        return not_ready(
            "ApplicationGone", "the application is gone from Ray Serve; pulumi up --refresh brings it back"
        )
    return health(desired.replicas, observed.application, observed.readiness)


def resource_finding(observed: Observed, where: str) -> Finding:
    """ResourceReady on the local target: the machine's Ray is there."""
    if observed.ray_problem:
        return not_ready("RayUnreachable", observed.ray_problem)
    return ready("RayRunning", f"Ray {observed.ray_version} runs on {where}")


def workspace_finding(resource: Finding, inference: Finding, adapters: Finding | None = None) -> Finding:
    """WorkspaceReady is True when the conditions below it are; otherwise it carries the first reason that is not."""
    for finding in (resource, inference, adapters):
        if finding is not None and finding.status != "True":
            return Finding("False", finding.reason, finding.message)
    return ready("WorkspaceReady", "the endpoint answers")


def findings_of(resource: Finding, inference: Finding, adapters: Finding | None = None) -> dict[ConditionType, Finding]:
    findings: dict[ConditionType, Finding] = {"ResourceReady": resource, "InferenceReady": inference}
    if adapters is not None:
        findings["AdaptersReady"] = adapters
    findings["WorkspaceReady"] = workspace_finding(resource, inference, adapters)
    return findings


def transition(
    findings: Mapping[ConditionType, Finding], before: Iterable[Mapping[str, str]], now: str
) -> list[Condition]:
    """The findings as conditions: `lastTransitionTime` is `now` only where the status differs from `before`'s."""
    old = {condition["type"]: condition for condition in before}
    conditions: list[Condition] = []
    for kind, finding in findings.items():
        same = kind in old and old[kind]["status"] == finding.status
        since = old[kind]["lastTransitionTime"] if same else now
        conditions.append(
            Condition(
                type=kind,
                status=finding.status,
                reason=finding.reason,
                message=finding.message,
                last_transition_time=since,
            )
        )
    return conditions


def describe_drift(desired: Desired, observed: Observed) -> str:
    """What a refresh reports: one sentence, empty when the application is as desired and healthy."""
    app = observed.application
    if app is not None and app.status != "DELETING" and (changes := drift(desired.config, app.config)):
        return "changed behind our back: " + "; ".join(changes)
    findings = (inference_finding(desired, observed), adapters_finding(desired, observed))
    wrong = [finding for finding in findings if finding is not None and finding.status != "True"]
    return f"{wrong[0].reason}: {wrong[0].message}" if wrong else ""


def drift(desired: Mapping[str, Any], actual: Mapping[str, Any]) -> list[str]:
    """Where `actual` differs from `desired`, as "path: found X, wanted Y", sorted by path.

    Ray Serve reports fields that were set by anyone and leaves out those that nobody set; null and absent are equal.
    """
    return sorted(_differences("", desired, actual))


def _differences(path: str, wanted: object, found: object) -> list[str]:
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        left, right = cast("Mapping[str, object]", wanted), cast("Mapping[str, object]", found)
        keys = {*left, *right}
        return [line for key in keys for line in _differences(_join(path, key), left.get(key), right.get(key))]
    if isinstance(wanted, list) and isinstance(found, list):
        items, others = cast("list[object]", wanted), cast("list[object]", found)
        if len(items) == len(others):
            pairs = enumerate(zip(items, others, strict=True))
            return [line for index, (a, b) in pairs for line in _differences(f"{path}[{index}]", a, b)]
    return [] if wanted == found else [f"{path}: found {_show(found)}, wanted {_show(wanted)}"]


def _join(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)


def _show(value: object) -> str:
    return "nothing" if value is None else repr(value)


def failure_of(app: Application) -> tuple[str, str]:
    """Reason and message of a failed deployment: the replica's own words, not the wrappers around them."""
    text = f"{app.deployment_message}\n{app.message}"
    match = _STARTUP_FAILURE.search(text)
    if match is not None:
        return match["reason"], match["message"].strip().rstrip(".'\"")
    own = [match for line in text.splitlines() if (match := _EXCEPTION_LINE.match(line.strip()))]
    if own:
        last = own[-1]
        return "DeployFailed", f"{last['type']}: {last['message']}".rstrip(": .")
    return "DeployFailed", _first_line(app.deployment_message or app.message) or "Ray Serve gave no reason"


def _why_not(app: Application) -> str:
    if "failed to start" in app.deployment_message:
        reason, message = failure_of(app)
        return f", the last one failed and is tried again: {reason}: {message}"
    return f": {_first_line(app.deployment_message)}" if app.deployment_message else ""


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0].strip() if text.strip() else ""
