"""The pure core: tables of what is there, and what follows from it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from components.reconciliation.decide import (
    decide,
    describe_drift,
    drift,
    failure_of,
    findings_of,
    transition,
)
from components.reconciliation.state import (
    Application,
    Desired,
    Observed,
    PutApplication,
    Readiness,
    RemoveApplication,
    Replica,
    not_ready,
    ready,
)

CONFIG: dict[str, Any] = {"name": "chat", "route_prefix": "/chat", "deployments": [{"name": "M", "num_replicas": 1}]}
DESIRED = Desired(name="chat", config=CONFIG, replicas=1)
SENT = replace(DESIRED, sent=True)
RUNNING = Application(status="RUNNING", config=CONFIG, deployed_at=200.0, replicas=(Replica(state="RUNNING", pid=7),))
ANSWERS = Readiness(ok=True)


def seen(app: Application | None, readiness: Readiness | None = ANSWERS) -> Observed:
    return Observed(ray_version="2.60.0", application=app, readiness=readiness)


@pytest.mark.parametrize(
    ("desired", "observed", "actions", "reason", "final"),
    [
        pytest.param(DESIRED, seen(None), [PutApplication], "Deploying", False, id="nothing there: send it"),
        pytest.param(DESIRED, seen(RUNNING), [], "ReplicasReady", False, id="as desired: adopt it, send nothing"),
        pytest.param(
            DESIRED,
            seen(replace(RUNNING, config={**CONFIG, "route_prefix": "/other"})),
            [PutApplication],
            "Deploying",
            False,
            id="another config: send ours",
        ),
        pytest.param(
            SENT,
            seen(replace(RUNNING, config={**CONFIG, "route_prefix": "/other"})),
            [],
            "Deploying",
            False,
            id="sent, not taken over yet: wait, do not send twice",
        ),
        pytest.param(
            DESIRED,
            seen(replace(RUNNING, status="DEPLOY_FAILED", replicas=())),
            [RemoveApplication],
            "Retrying",
            False,
            id="failed before us with our config: Ray would not retry, so remove it first",
        ),
        pytest.param(
            SENT,
            seen(replace(RUNNING, status="DEPLOY_FAILED", replicas=(), message="ValueError: no such file")),
            [],
            "DeployFailed",
            True,
            id="our own PUT failed: stop waiting",
        ),
        pytest.param(
            SENT,
            seen(replace(RUNNING, status="DEPLOYING", replicas=()), None),
            [],
            "ReplicasStarting",
            False,
            id="replicas start",
        ),
        pytest.param(
            replace(SENT, replicas=2),
            seen(RUNNING),
            [],
            "ReplicasStarting",
            False,
            id="one of two replicas is not ready",
        ),
        pytest.param(SENT, seen(RUNNING, None), [], "EndpointSilent", False, id="replicas run, endpoint silent"),
        pytest.param(
            SENT,
            seen(RUNNING, Readiness(ok=False, reason="EngineRestarting", message="signal 9")),
            [],
            "EngineRestarting",
            False,
            id="the service says itself that it is not ready",
        ),
        pytest.param(
            SENT, seen(replace(RUNNING, status="UNHEALTHY")), [], "Unhealthy", False, id="health check failed"
        ),
        pytest.param(SENT, seen(replace(RUNNING, status="DELETING")), [], "Deleting", False, id="still being removed"),
        pytest.param(SENT, Observed(ray_problem="gone"), [], "RayUnreachable", False, id="no Ray"),
    ],
)
def test_decision(desired: Desired, observed: Observed, actions: list[type], reason: str, final: bool) -> None:
    decision = decide(desired, observed)
    assert [type(action) for action in decision.actions] == actions
    assert decision.finding.reason == reason
    assert decision.final is final
    assert (decision.finding.status == "True") == (reason == "ReplicasReady"), "nothing half ready is called ready"


TRACEBACK = """The deployment failed to start 3 times in a row.
Traceback (most recent call last):
  File "replica.py", line 10, in initialize
ray.exceptions.RayTaskError: ray::ServeReplica (pid=1)
serving.errors.StartupFailure: [WeightsCorrupt] model.safetensors ends at byte 10 of 20"""


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (TRACEBACK, ("WeightsCorrupt", "model.safetensors ends at byte 10 of 20")),
        ("Traceback\n  File x\nValueError: bad dtype", ("DeployFailed", "ValueError: bad dtype")),
        (
            "Traceback\npydantic_core._pydantic_core.ValidationError: 1 problem",
            ("DeployFailed", "ValidationError: 1 problem"),
        ),
        ("No capacity for the replica", ("DeployFailed", "No capacity for the replica")),
        ("", ("DeployFailed", "Ray Serve gave no reason")),
    ],
)
def test_a_failure_is_the_replicas_own_text(message: str, expected: tuple[str, str]) -> None:
    assert failure_of(Application(status="DEPLOY_FAILED", deployment_message=message)) == expected


@pytest.mark.parametrize(
    ("actual", "expected"),
    [
        (CONFIG, []),
        ({**CONFIG, "runtime_env": None}, []),
        ({**CONFIG, "route_prefix": "/x"}, ["route_prefix: found '/x', wanted '/chat'"]),
        (
            {**CONFIG, "deployments": [{"name": "M", "num_replicas": 5}]},
            ["deployments[0].num_replicas: found 5, wanted 1"],
        ),
        ({"name": "chat", "route_prefix": "/chat"}, [f"deployments: found nothing, wanted {CONFIG['deployments']!r}"]),
    ],
)
def test_drift_names_the_field_and_both_values(actual: dict[str, Any], expected: list[str]) -> None:
    assert drift(CONFIG, actual) == expected


@pytest.mark.parametrize(
    ("observed", "words"),
    [
        (seen(RUNNING), ""),
        (seen(None), "gone"),
        (Observed(ray_problem="Ray is not running"), "not running"),
        (seen(replace(RUNNING, config={})), "behind our back"),
        (
            seen(RUNNING, Readiness(ok=False, reason="EngineRestarting", message="signal 9")),
            "EngineRestarting: signal 9",
        ),
    ],
)
def test_refresh_reports_drift_in_words(observed: Observed, words: str) -> None:
    text = describe_drift(DESIRED, observed)
    assert words in text
    assert bool(text) == bool(words)


def test_a_condition_keeps_its_time_until_its_status_changes() -> None:
    up, down = ready("ReplicasReady", "1 of 1"), not_ready("Unhealthy", "no")
    first = transition(findings_of(ready("RayRunning", "Ray"), down), (), "t1")
    second = transition(findings_of(ready("RayRunning", "Ray again"), up), [c.to_output() for c in first], "t2")
    assert {c.type: c.last_transition_time for c in second} == {
        "ResourceReady": "t1",
        "InferenceReady": "t2",
        "WorkspaceReady": "t2",
    }
    assert second[0].message == "Ray again", "the message is today's even where the time is not"


def test_workspace_ready_carries_the_first_reason_that_is_not_true() -> None:
    findings = findings_of(not_ready("RayUnreachable", "gone"), not_ready("EndpointSilent", "silent"))
    assert findings["WorkspaceReady"].reason == "RayUnreachable"
