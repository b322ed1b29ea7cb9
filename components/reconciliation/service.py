"""Brings one workspace's application to what is desired: acts on decisions until ready, failed, or out of time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from components.reconciliation import smoke
from components.reconciliation.decide import decide
from components.reconciliation.state import (
    Action,
    Decision,
    Desired,
    Finding,
    Observed,
    PutApplication,
    RemoveApplication,
    not_ready,
)

_POLL_SECONDS = 0.25
_HEARTBEAT_SECONDS = 10
_UNREACHABLE_SECONDS = 20
"""How long Ray may be silent before waiting for it is given up."""


class NotReady(Exception):
    """The workspace is not ready and waiting longer would not help; `finding` says why."""

    def __init__(self, name: str, finding: Finding) -> None:
        self.finding = finding
        super().__init__(f"workspace {name} is not ready: {finding.reason}: {finding.message}")


class ServeClient(Protocol):
    """What reconciliation needs of Ray Serve; RayDashboard is one."""

    def observe(self, name: str) -> Observed: ...
    def put(self, config: Mapping[str, Any]) -> None: ...
    def remove(self, name: str) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A workspace that answers: what was seen last, and seconds by phase."""

    observed: Observed
    finding: Finding
    phases: Mapping[str, float] = field(default_factory=dict[str, float])


def reconcile(
    client: ServeClient, desired: Desired, endpoint: str, timeout_seconds: float, progress: Callable[[str], None]
) -> Outcome:
    """Act and wait until the application answers the smoke prompt. Raises NotReady with the reason."""
    begun = time.monotonic()
    observed, finding = until_ready(client, desired, timeout_seconds, progress)
    phases = {"deploy": time.monotonic() - begun}
    if observed.readiness is not None:
        phases |= observed.readiness.phases
    try:
        phases["smokePrompt"] = smoke.ask(endpoint)
    except smoke.SmokeFailed as error:
        raise NotReady(desired.name, not_ready("SmokePromptFailed", str(error))) from error
    progress(f"{desired.name}: {finding.message}, the smoke prompt too ({phases['smokePrompt']:.1f} s)")
    return Outcome(observed=observed, finding=finding, phases=phases)


def until_ready(
    client: ServeClient, desired: Desired, timeout_seconds: float, progress: Callable[[str], None]
) -> tuple[Observed, Finding]:
    """Act and wait until the application is as desired and says that it is ready. Raises NotReady with the reason."""
    begun = answered = said_at = time.monotonic()
    said = ""
    while True:
        observed = client.observe(desired.name)
        decision = decide(desired, observed)
        now = time.monotonic()
        answered = answered if observed.ray_problem else now
        text = f"{desired.name}: {decision.finding.reason}: {decision.finding.message}"
        if decision.finding.status != "True" and (text != said or now - said_at > _HEARTBEAT_SECONDS):
            progress(text if text != said else f"{text} ({now - begun:.0f} s)")
            said, said_at = text, now
        if _is_over(decision, now - answered):
            raise NotReady(desired.name, decision.finding)
        if decision.finding.status == "True":
            return observed, decision.finding
        if now - begun > timeout_seconds:
            raise NotReady(desired.name, _timed_out(decision.finding, timeout_seconds))
        for action in decision.actions:
            desired = _act(client, desired, action)
        if not decision.actions:
            time.sleep(_POLL_SECONDS)


def _is_over(decision: Decision, silent_seconds: float) -> bool:
    return decision.final or silent_seconds > _UNREACHABLE_SECONDS


def _act(client: ServeClient, desired: Desired, action: Action) -> Desired:
    match action:
        case PutApplication():
            client.put(desired.config)
            return replace(desired, sent=True)
        case RemoveApplication():
            client.remove(desired.name)
            return desired


def _timed_out(finding: Finding, seconds: float) -> Finding:
    message = f"still {finding.message} after {seconds:.0f} s; raise readyTimeoutSeconds if it only needs longer"
    return not_ready(finding.reason, message)
