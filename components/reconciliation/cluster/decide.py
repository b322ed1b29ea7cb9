"""The pure core of reconciliation on a cluster. No network, no clock: same arguments, same answer."""

from __future__ import annotations

from dataclasses import dataclass, replace

from components.planning.manifests.prefetch import PART as PREFETCH
from components.planning.manifests.scope import PART_LABEL
from components.reconciliation.adapters import adapters_finding, is_loading
from components.reconciliation.cluster.api import Json
from components.reconciliation.cluster.cause import Cause, worst
from components.reconciliation.cluster.causes import cause_of
from components.reconciliation.cluster.current import current_pods
from components.reconciliation.cluster.nodes import nodes_finding
from components.reconciliation.cluster.partial_json import condition, is_leaving, name_of, number, text
from components.reconciliation.cluster.provisioning import node_claims_cause
from components.reconciliation.cluster.ray_service import (
    active_cluster,
    has_pods,
    is_taken_over,
    pending_cluster,
    refusal,
    scaling,
    watched_cluster,
)
from components.reconciliation.cluster.values import (
    Action,
    ClearApplications,
    ReplaceCluster,
    Seen,
    SetServiceType,
    Verdict,
    Wanted,
)
from components.reconciliation.decide import drift, failure_of, findings_of, health
from components.reconciliation.state import Application, Desired, Finding, Observed, not_ready, ready

_NO_NODE_YET = "Unschedulable"
_UP_AGAIN = "correct it and run pulumi up again"


@dataclass(frozen=True)
class _Service:
    """InferenceReady, and what to do for it."""

    finding: Finding
    actions: tuple[Action, ...] = ()
    final: bool = False


def decide(wanted: Wanted, seen: Seen) -> Verdict:
    """The next actions, and all conditions."""
    seen = replace(seen, pods=current_pods(seen))
    # A Karpenter that makes nodes for others looks at every pod, and says that its pools have none for this one.
    asks = wanted.nodes.source != "existing"
    claims = node_claims_cause(seen.claims, seen.pools, seen.events) if asks else None
    pods = _not_of_prefetch(cause_of(seen.pods, seen.nodes, seen.events), seen)
    if asks and pods is not None and pods.reason == _NO_NODE_YET:
        # Nodes that are asked for come after the pods that wait for them: what is in their way, the provisioner says.
        pods = None if nodes_finding(wanted, seen, claims).status != "True" else pods
    resource = nodes_finding(wanted, seen, worst([cause for cause in (claims, pods) if cause is not None]))
    service = _template(wanted, seen) if wanted.kind == "template" else _inference(wanted, seen)
    service = _explained(service, pods)
    if service.finding.reason == "WaitingForKubeRay" and wanted.nodes.source == "karpenter" and not seen.claims:
        resource = service.finding if resource.status != "True" else resource  # its nodes come when pods ask for them
    if resource.status != "True" and asks:
        # What serves makes way only for what has nodes to run on.
        service = replace(service, actions=tuple(each for each in service.actions if not _ends_a_ray(each)))
    adapters = None
    if wanted.kind == "inference" and service.finding.status == "True":
        adapters = adapters_finding(_desired(wanted), _observed(seen))
    findings = findings_of(resource, service.finding, adapters)
    final = service.final or (resource.status != "True" and claims is not None and claims.final)
    if adapters is not None and adapters.status != "True":
        final = not is_loading(adapters)
    asks_log = pods is not None and pods.wants_log and findings["WorkspaceReady"].reason == pods.reason
    log_of = (pods.pod, pods.container) if pods is not None and asks_log else None
    return Verdict(findings=findings, actions=service.actions, final=final, log_of=log_of)


def _not_of_prefetch(cause: Cause | None, seen: Seen) -> Cause | None:
    """Weights that a Job cannot fetch ahead, replicas may fetch themselves: never a reason to give up."""
    jobs = {name_of(pod) for pod in seen.pods if text(pod, "metadata", "labels", PART_LABEL) == PREFETCH}
    return replace(cause, final=False) if cause is not None and cause.pod in jobs else cause


def _ends_a_ray(action: Action) -> bool:
    return isinstance(action, ReplaceCluster)


def _explained(service: _Service, cause: Cause | None) -> _Service:
    """What keeps the pods from running is the reason, whatever Ray says meanwhile."""
    if cause is None or service.finding.status == "True" or service.final:
        return service
    return _Service(not_ready(cause.reason, cause.message), service.actions, final=cause.final)


def _inference(wanted: Wanted, seen: Seen) -> _Service:
    if seen.main is None:
        return _Service(not_ready("RayServiceGone", "the RayService is gone; pulumi up --refresh brings it back"))
    if reason := refusal(seen.main):
        return _Service(not_ready("RayServiceRefused", f"KubeRay refuses the RayService: {reason}"), final=True)
    name = watched_cluster(seen.main)
    cluster = seen.clusters.get(name)
    if cluster is None:
        return _Service(
            not_ready("WaitingForKubeRay", "KubeRay has not made the Ray cluster yet; does its operator run?")
        )
    if is_leaving(cluster):
        return _Service(not_ready("Replacing", f"the Ray cluster {name} is ending, another one follows"))
    if not has_pods(cluster, wanted.pods):
        return _other_pods(wanted, name)
    return _serve(wanted, seen, name, cluster)


def _other_pods(wanted: Wanted, name: str) -> _Service:
    if wanted.beside:
        return _Service(not_ready("Replacing", "KubeRay makes another Ray cluster beside the one that serves"))
    return _Service(
        not_ready("Replacing", f"the Ray cluster {name} makes way for another one; requests wait meanwhile"),
        (ReplaceCluster(name),),
    )


def _serve(wanted: Wanted, seen: Seen, name: str, cluster: Json) -> _Service:
    """The application on the Ray that is to serve."""
    app = seen.application
    if app is None:
        if seen.silence:
            way_out = "a NetworkPolicy may keep the API server away: docs/kubernetes.md, network"
            return _Service(not_ready("DashboardUnreachable", f"{seen.silence}; it may start still, or {way_out}"))
        return _Service(not_ready("RayStarting", f"the Ray cluster {name} starts"))
    if drift(wanted.application, app.config):
        return _Service(not_ready("Deploying", "KubeRay has not sent the Serve config yet"))
    if app.status == "DEPLOY_FAILED":
        return _failed(wanted, app, name)
    scale = scaling(wanted, seen, name, cluster)
    actions: tuple[Action, ...] = (scale,) if scale is not None else ()
    finding = health(wanted.replicas, app, seen.readiness)
    if finding.status == "True" and len(app.replicas) > wanted.replicas:
        return _Service(not_ready("ReplicasEnding", f"{len(app.replicas) - wanted.replicas} old replicas end"), actions)
    if finding.status == "True" and scale is not None:
        return _Service(not_ready("WorkersScaling", f"Ray is to have {scale.replicas} workers"), actions)
    if finding.status == "True" and seen.main is not None and (later := _not_switched(seen.main)):
        return _Service(later, actions)
    return _Service(finding, actions + _service_type(wanted, seen))


def _failed(wanted: Wanted, app: Application, name: str) -> _Service:
    if not wanted.sent:
        # Ray Serve does not try a failed deployment again while its config is the same, so clear it first.
        finding = not_ready("Retrying", "an earlier failed deployment is being removed")
        return _Service(finding, (ClearApplications(name),))
    reason, message = failure_of(app)
    return _Service(not_ready(reason, f"{message}; {_UP_AGAIN}"), final=True)


def _not_switched(service: Json) -> Finding | None:
    """While KubeRay still points the Service at the Ray that served before."""
    if not pending_cluster(service) and active_cluster(service):
        return None
    return not_ready("Switching", "the new Ray is ready, and KubeRay has not pointed the Service at it yet")


def _service_type(wanted: Wanted, seen: Seen) -> tuple[Action, ...]:
    kind = text(seen.endpoint or {}, "spec", "type")
    return (SetServiceType(wanted.service_type),) if kind and kind != wanted.service_type else ()


def _template(wanted: Wanted, seen: Seen) -> _Service:
    main = seen.main
    if main is None:
        return _Service(not_ready("DeploymentGone", "the Deployment is gone; pulumi up --refresh brings it back"))
    if not is_taken_over(main):
        return _Service(not_ready("Deploying", "the Deployment has not been taken over yet"))
    updated, available = number(main, "status", "updatedReplicas"), number(main, "status", "availableReplicas")
    running = min(updated, available)
    if running < wanted.replicas or number(main, "status", "replicas") > updated:
        stuck = condition(main, "Progressing")
        why = f": {text(stuck, 'message')}" if text(stuck, "status") == "False" else ""
        return _Service(not_ready("ReplicasStarting", f"{running} of {wanted.replicas} replicas are available{why}"))
    return _Service(ready("ReplicasReady", f"{running} of {wanted.replicas} replicas are available"))


def describe_drift(wanted: Wanted, seen: Seen) -> str:
    """What a refresh reports: one sentence, empty when everything is as wanted."""
    app = seen.application
    if app is not None and (changes := drift(wanted.application, app.config)):
        return "changed behind our back: " + "; ".join(changes)
    problem = decide(wanted, seen).first_problem
    return "" if problem.status == "True" else f"{problem.reason}: {problem.message}"


def _desired(wanted: Wanted) -> Desired:
    return Desired(name=wanted.name, config=wanted.application, replicas=wanted.replicas)


def _observed(seen: Seen) -> Observed:
    return Observed(application=seen.application, readiness=seen.readiness, adapters=seen.adapters)
