"""The values that reconciliation on a cluster decides on: what is wanted, what is seen, what to do, what to report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from components.reconciliation.cluster.api import Json
from components.reconciliation.state import Application, ConditionType, Finding, Readiness, ReplicaAdapters

NodeSource = Literal["existing", "karpenter", "gpu-provisioner"]
Kind = Literal["inference", "template"]


@dataclass(frozen=True, kw_only=True)
class WantedNodes:
    """The GPU nodes of one workspace, as the plan has them."""

    source: NodeSource
    count: int
    selector: Mapping[str, str]
    """Labels of the nodes: the workspace's own where they are made, those that the config selects where they exist."""
    name: str = ""
    """Of the NodePool, and the value of the nodes' own label."""
    gpus: int = 0
    """Of one node, as the plan counts with them; 0: the plan does not know the nodes."""
    gpu: str = ""
    memory_gib: float = 0.0
    """Nominal, of one GPU or slice."""
    resource: str = "nvidia.com/gpu"
    """What a pod asks for a GPU or a slice by."""
    otherwise: str = ""
    """The next cheapest plan, as a clause; "" if there is none."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """One workspace, as the plan has it."""

    name: str
    namespace: str
    kind: Kind
    nodes: WantedNodes
    replicas: int
    application: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Of Ray Serve; empty where a pod template stands in its place."""
    pods: str = ""
    """Digest of the pods that are wanted, an annotation of the RayClusters that have them."""
    beside: bool = True
    """Whether KubeRay makes a new cluster beside the old one where the pods change."""
    service_type: str = "ClusterIP"
    sent: bool = False
    """Whether this reconciliation has seen a deployment begin: only then is a failure the answer to it."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """Objects of the API server, and what the service says of itself through it."""

    main: Json | None = None
    """The RayService, or the Deployment of a template."""
    clusters: Mapping[str, Json] = field(default_factory=dict[str, Json])
    """RayClusters of the workspace, by name."""
    pods: tuple[Json, ...] = ()
    jobs: tuple[Json, ...] = ()
    nodes: Mapping[str, Json] | None = None
    """Of the whole cluster, by name; None: this login may not read nodes."""
    claims: tuple[Json, ...] = ()
    pools: tuple[Json, ...] = ()
    events: tuple[Json, ...] = ()
    endpoint: Json | None = None
    """The Service that is named as the workspace."""
    application: Application | None = None
    """On the Ray that is to serve: the one that KubeRay prepares, or the one that serves already."""
    silence: str = ""
    """Why Ray's dashboard cannot be asked although the head is ready; "" if it answers."""
    readiness: Readiness | None = None
    adapters: tuple[ReplicaAdapters, ...] = ()


@dataclass(frozen=True)
class ScaleWorkers:
    """Have so many workers in a Ray; `leave` are pods that go, where there are fewer than before.

    KubeRay does not take a changed number of workers over from a RayService into the RayCluster that serves.
    """

    cluster: str
    replicas: int
    leave: tuple[str, ...] = ()


@dataclass(frozen=True)
class ReplaceCluster:
    """Delete a RayCluster whose pods are not those that are wanted; KubeRay makes the new one in its place."""

    cluster: str


@dataclass(frozen=True)
class ClearApplications:
    """Take a failed application out of Ray Serve, which does not try it again by itself; KubeRay sends it anew."""

    cluster: str


@dataclass(frozen=True)
class SetServiceType:
    """KubeRay changes the Service only when another Ray takes over."""

    kind: str


Action = ScaleWorkers | ReplaceCluster | ClearApplications | SetServiceType


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What to do next, and what the conditions say meanwhile."""

    findings: Mapping[ConditionType, Finding]
    actions: tuple[Action, ...] = ()
    final: bool = False
    """Waiting longer changes nothing."""
    log_of: tuple[str, str] | None = None
    """Pod and container whose last lines say why."""

    @property
    def ready(self) -> bool:
        return not self.actions and self.findings["WorkspaceReady"].status == "True"

    @property
    def first_problem(self) -> Finding:
        """WorkspaceReady repeats the first condition that is not True."""
        return self.findings["WorkspaceReady"]
