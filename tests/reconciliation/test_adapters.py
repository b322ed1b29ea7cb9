"""AdaptersReady: tables of what replicas report, and what follows from it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from components.reconciliation.adapters import adapters_finding
from components.reconciliation.decide import decide, describe_drift, findings_of
from components.reconciliation.state import (
    AdapterState,
    Application,
    Desired,
    Observed,
    Readiness,
    Replica,
    ReplicaAdapters,
    ready,
)
from presets.serve_config import AdapterSettings, adapters_generation

POLITE = AdapterSettings(name="polite", source="hf:org/polite", rank=16)
GENERATION = adapters_generation([POLITE])
USER_CONFIG = {"adapters": [POLITE.model_dump(mode="json")]}
CONFIG: dict[str, Any] = {"name": "chat", "deployments": [{"name": "M", "user_config": USER_CONFIG}]}
DESIRED = Desired(name="chat", config=CONFIG, replicas=1, sent=True)

READY = AdapterState(name="polite", state="Ready")
LOADING = AdapterState(name="polite", state="Loading", message="fetching")
FAILED = AdapterState(name="polite", state="Failed", reason="RankTooHigh", message="it has rank 64")
OTHERS = AdapterState(name="rude", state="Failed", reason="NotLora", message="loaded by somebody's request")


def seen(*replicas: tuple[AdapterState, ...], generation: str = GENERATION) -> Observed:
    running = tuple(Replica(state="RUNNING") for _ in replicas)
    return Observed(
        application=Application(status="RUNNING", config=CONFIG, replicas=running or (Replica(state="RUNNING"),)),
        readiness=Readiness(ok=True),
        adapters=tuple(ReplicaAdapters(generation=generation, adapters=each) for each in replicas),
    )


@pytest.mark.parametrize(
    ("observed", "replicas", "reason", "final"),
    [
        pytest.param(seen((READY,)), 1, "ReplicasReady", False, id="all there"),
        pytest.param(seen((READY, OTHERS)), 1, "ReplicasReady", False, id="what a request loaded does not count"),
        pytest.param(seen((LOADING,)), 1, "AdaptersLoading", False, id="wait for it"),
        pytest.param(seen((READY,), (LOADING,)), 2, "AdaptersLoading", False, id="wait for every replica"),
        pytest.param(seen((READY,), generation="old"), 1, "AdaptersLoading", False, id="an earlier list"),
        pytest.param(seen((OTHERS,)), 1, "AdaptersLoading", False, id="not in the report"),
        pytest.param(seen((READY,), ()), 2, "AdaptersLoading", False, id="not in one of the reports"),
        pytest.param(seen(), 1, "AdaptersLoading", False, id="nothing heard"),
        pytest.param(seen((FAILED,)), 1, "RankTooHigh", True, id="refused: waiting does not help"),
        pytest.param(seen((READY,), (FAILED,)), 2, "RankTooHigh", True, id="refused by one of two"),
        pytest.param(seen((FAILED,), generation="old"), 1, "AdaptersLoading", False, id="refused in an earlier list"),
    ],
)
def test_an_update_waits_for_adapters_and_fails_with_their_reason(
    observed: Observed, replicas: int, reason: str, final: bool
) -> None:
    decision = decide(replace(DESIRED, replicas=replicas), observed)
    assert (decision.finding.reason, decision.final, decision.actions) == (reason, final, ())
    if reason == "RankTooHigh":
        assert "adapter polite: it has rank 64" in decision.finding.message


def test_a_workspace_without_adapters_has_no_such_condition() -> None:
    assert adapters_finding(replace(DESIRED, config={"name": "chat"}), seen((READY,))) is None
    assert "AdaptersReady" not in findings_of(ready("A", ""), ready("B", ""))


def test_the_workspace_is_ready_only_with_its_adapters() -> None:
    finding = adapters_finding(DESIRED, seen((FAILED,)))
    findings = findings_of(ready("A", ""), ready("B", ""), finding)
    assert list(findings) == ["ResourceReady", "InferenceReady", "AdaptersReady", "WorkspaceReady"]
    assert (findings["InferenceReady"].status, findings["WorkspaceReady"].reason) == ("True", "RankTooHigh")


def test_an_adapter_that_failed_later_is_drift() -> None:
    assert describe_drift(DESIRED, seen((READY,))) == ""
    assert describe_drift(DESIRED, seen((FAILED,))) == "RankTooHigh: adapter polite: it has rank 64"
