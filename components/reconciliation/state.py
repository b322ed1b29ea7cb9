"""The values that reconciliation decides on: what is wanted, what is there, what to do, what to report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

ConditionType = Literal[
    "ResourceReady", "InferenceReady", "AdaptersReady", "JobStarted", "TuningReady", "WorkspaceReady"
]
"""AdaptersReady where the workspace has adapters; JobStarted and TuningReady in place of InferenceReady where it makes
one."""
Status = Literal["True", "False", "Unknown"]


@dataclass(frozen=True)
class Finding:
    """The status of one condition, before it is given a time. `reason` is CamelCase, `message` a sentence."""

    status: Status
    reason: str
    message: str


def ready(reason: str, message: str) -> Finding:
    return Finding("True", reason, message)


def not_ready(reason: str, message: str) -> Finding:
    return Finding("False", reason, message)


@dataclass(frozen=True, kw_only=True)
class Condition:
    """A condition as KAITO's users know it; `last_transition_time` is RFC 3339 in UTC."""

    type: ConditionType
    status: Status
    reason: str
    message: str
    last_transition_time: str

    def to_output(self) -> dict[str, str]:
        return {
            "type": self.type,
            "status": self.status,
            "reason": self.reason,
            "message": self.message,
            "lastTransitionTime": self.last_transition_time,
        }


@dataclass(frozen=True, kw_only=True)
class Desired:
    """One workspace's application, as the plan has it."""

    name: str
    config: Mapping[str, Any]
    """An application of Ray Serve's declarative schema."""
    replicas: int
    sent: bool = False
    """Whether this reconciliation has sent the config: only then is a failure the answer to it."""


@dataclass(frozen=True, kw_only=True)
class Replica:
    """One replica as Ray Serve's controller reports it."""

    state: str
    pid: int | None = None
    address: str = ""
    """IP address of its node, which on Kubernetes is its pod."""


@dataclass(frozen=True, kw_only=True)
class Application:
    """An application as Ray Serve's controller reports it."""

    status: str
    message: str = ""
    config: Mapping[str, Any] = field(default_factory=dict[str, Any])
    deployed_at: float = 0.0
    deployment_message: str = ""
    replicas: tuple[Replica, ...] = ()

    @property
    def running(self) -> int:
        return sum(replica.state == "RUNNING" for replica in self.replicas)


@dataclass(frozen=True, kw_only=True)
class AdapterState:
    """One adapter in one replica; `state` is Loading, Ready or Failed."""

    name: str
    state: str
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class ReplicaAdapters:
    """The adapters of one replica; `generation` tells which list it has been given."""

    generation: str
    adapters: tuple[AdapterState, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Readiness:
    """What the service itself answers at /ready; `ok` is HTTP 200."""

    ok: bool
    reason: str = ""
    message: str = ""
    phases: Mapping[str, float] = field(default_factory=dict[str, float])
    engine_pid: int | None = None
    host: str = ""
    adapters: ReplicaAdapters | None = None

    @property
    def replica(self) -> tuple[str, int | None]:
        """Tells the replicas of an application apart."""
        return self.host, self.engine_pid


@dataclass(frozen=True, kw_only=True)
class Observed:
    """What is there. `ray_problem` is a sentence when Ray does not answer, and then nothing else is known."""

    ray_problem: str = ""
    ray_version: str = ""
    application: Application | None = None
    readiness: Readiness | None = None
    adapters: tuple[ReplicaAdapters, ...] = ()
    """Of each replica that was asked, where the application has adapters."""


@dataclass(frozen=True)
class PutApplication:
    """Send the desired config to Ray Serve; the other applications stay as they are."""


@dataclass(frozen=True)
class RemoveApplication:
    """Take this application, and no other, out of Ray Serve; the config is sent again when it is gone."""


Action = PutApplication | RemoveApplication


@dataclass(frozen=True)
class Decision:
    """What to do next, and what InferenceReady says meanwhile. `final`: waiting longer changes nothing."""

    actions: tuple[Action, ...]
    finding: Finding
    final: bool = False
