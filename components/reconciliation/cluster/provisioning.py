"""Why the nodes of a workspace are not made, read from Karpenter's or gpu-provisioner's own objects. Pure.

Both fill in NodeClaims of karpenter.sh/v1: Launched, Registered and Initialized, each Unknown until it is True. Reasons
and words are those of karpenter v1.14.1 (pkg/controllers: nodeclaim/lifecycle, provisioning/scheduling,
nodepool/readiness) and of karpenter-provider-azure (pkg/providers/instance/offerings). A launch that the cloud has no
room for leaves an event only: the claim is deleted at once, and the next one is made.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from components.reconciliation.cluster import event
from components.reconciliation.cluster.api import Json
from components.reconciliation.cluster.cause import Cause, cut
from components.reconciliation.cluster.partial_json import condition, is_leaving, name_of, text
from components.reconciliation.cluster.provisioning_words import (
    Kind,
    kind_of,
    not_ready_pool,
    schedule_failure,
    sentence,
)

CHURN_IS_FINAL = 5
"""Launches that failed one after another. Karpenter itself never gives up (kaito-project/kaito#2295)."""

_PENDING = {"", "AwaitingReconciliation"}
"""Reasons of a condition that nobody has looked at yet."""
_LAUNCH_FAILED = {"InsufficientCapacityError", "NodeClassNotReady"}
_NOT_SCHEDULED = "Failed to schedule pod, "
_GENERATED = r"[a-z0-9]{5}"
"""What the API server puts behind the pool's name to make a claim's."""
_NOMINATED = re.compile(r"nodeclaim/(?P<name>[\w.-]+)")


def node_claims_cause(claims: Sequence[Json], pools: Sequence[Json], events: Sequence[Json]) -> Cause | None:
    """Why there are no nodes yet, the root first: the pool, the launch, the pool's limits, the node's own start.

    `events` are those of the workspace's pods, which Karpenter writes on too, and those of namespace default, where the
    events of all NodeClaims and NodePools are, since neither has a namespace; those of other pools are left out. What
    Karpenter says of a pod is never final: it says the same of a pod that comes before its pool is ready.
    """
    current = sorted((claim for claim in claims if not is_leaving(claim)), key=name_of)
    events = _of_our_nodes(events, claims, pools)
    failures = churn(events, claims)
    return (
        _pool_cause(pools)
        or _launch_cause(current, failures)
        or _gone_launch_cause(current, events, failures)
        or _start_cause(current, ("ResourceNotRegistered", "MultipleNodesFound"))
        or _schedule_cause(current, events)
        or _unhealthy_pool_cause(pools)
        or _start_cause(current, ())
    )


def churn(events: Sequence[Json], claims: Sequence[Json]) -> int:
    """Launches that have failed: those that events tell of, and claims that a pod was to run on and that are gone.

    Each claim counts as often as its events say, and once if there is none; events last an hour.
    """
    there = {name_of(claim) for claim in claims}
    told: dict[str, int] = {}
    for one in events:
        if text(one, "reason") in _LAUNCH_FAILED:
            name = text(event.subject(one), "name")
            told[name] = told.get(name, 0) + event.times(one)
    gone = {name for one in events for name in _nominated(one)} - there - set(told)
    return sum(told.values()) + len(gone)


def _of_our_nodes(events: Sequence[Json], claims: Sequence[Json], pools: Sequence[Json]) -> list[Json]:
    """Without the events of claims and pools of others; a claim that is gone is known by its pool's name."""
    ours = {name_of(obj) for obj in (*claims, *pools)} | {name for one in events for name in _nominated(one)}
    made = [re.compile(rf"{re.escape(name_of(pool))}-{_GENERATED}") for pool in pools]

    def is_ours(one: Json) -> bool:
        kind, name = text(event.subject(one), "kind"), text(event.subject(one), "name")
        return kind not in ("NodeClaim", "NodePool") or name in ours or any(form.fullmatch(name) for form in made)

    return [one for one in events if is_ours(one)]


def _nominated(one: Json) -> list[str]:
    return _NOMINATED.findall(event.words(one)) if text(one, "reason") == "Nominated" else []


def _pool_cause(pools: Sequence[Json]) -> Cause | None:
    for pool in sorted((pool for pool in pools if not is_leaving(pool)), key=name_of):
        for kind in ("ValidationSucceeded", "NodeClassReady", "Ready"):
            found = condition(pool, kind)
            reason, words = text(found, "reason"), text(found, "message")
            if text(found, "status") == "False" and reason != "NodeClassReadinessUnknown":
                return not_ready_pool(pool, kind, reason, words)
    return None


def _unhealthy_pool_cause(pools: Sequence[Json]) -> Cause | None:
    """Karpenter's own summary of launches and registrations that failed again and again."""
    for pool in sorted((pool for pool in pools if not is_leaving(pool)), key=name_of):
        found = condition(pool, "NodeRegistrationHealthy")
        if text(found, "status") == "False":
            return not_ready_pool(pool, "NodeRegistrationHealthy", text(found, "reason"), text(found, "message"))
    return None


def _launch_cause(claims: Iterable[Json], failures: int) -> Cause | None:
    for claim in claims:
        found = condition(claim, "Launched")
        reason, words = text(found, "reason"), text(found, "message")
        if text(found, "status") != "True" and reason not in _PENDING:
            return _failed_launch(f"node {name_of(claim)}", kind_of(f"{reason}: {words}"), reason, words, failures)
    return None


def _gone_launch_cause(claims: Sequence[Json], events: Sequence[Json], failures: int) -> Cause | None:
    """A launch that failed and was taken back, unless a claim that was made after it is launched by now."""
    launched = [event.created(claim) for claim in claims if text(condition(claim, "Launched"), "status") == "True"]
    newest = max(launched, default="")
    told = event.newest_first(
        one
        for one in events
        if text(one, "reason") in _LAUNCH_FAILED and (not newest or event.last_seen(one) >= newest)
    )
    if not told:
        return None
    words = event.words(told[0]).partition(" event: ")[2] or event.words(told[0])
    kind = kind_of(words)
    if kind == "launch":
        kind = "capacity" if text(told[0], "reason") == "InsufficientCapacityError" else "nodeClass"
    return _failed_launch("a node", kind, text(told[0], "reason"), words, failures)


def _failed_launch(what: str, kind: Kind, reason: str, words: str, failures: int) -> Cause:
    again = f" (failed {failures} times so far)" if failures > 1 else ""
    message = sentence(what, kind, f"{reason}: {cut(words)}" if words else reason, again)
    is_final = failures >= CHURN_IS_FINAL
    match kind:
        case "quota":
            return Cause(reason="CloudQuotaExceeded", message=message, final=is_final or _has_no_quota(words))
        case "capacity":
            return Cause(reason="InsufficientCapacity", message=message, final=is_final)
        case "nodeClass":
            return Cause(reason="NodePoolNotReady", message=message, final="not found" in words)
        case "launch":
            return Cause(reason="NodeLaunchFailed", message=message, final=is_final)


def _has_no_quota(words: str) -> bool:
    """Whether the cloud's answer says that the limit is 0: no waiting gives this subscription any."""
    return re.search(r"(?i)limit\W{1,3}0\b", words) is not None


def _start_cause(claims: Sequence[Json], reasons: Sequence[str]) -> Cause | None:
    """A machine that is there and no usable node yet; with `reasons`, for one of them only."""
    for claim in claims:
        if text(condition(claim, "Launched"), "status") != "True":
            continue
        for kind in ("Registered", "Initialized"):
            found = condition(claim, kind)
            reason = text(found, "reason")
            if text(found, "status") in ("True", "") or reason in _PENDING or (reasons and reason not in reasons):
                continue
            return _not_started(claim, reason, cut(text(found, "message")))
    return None


def _not_started(claim: Json, reason: str, words: str) -> Cause:
    node = f"node {text(claim, 'status', 'nodeName') or name_of(claim)}"
    if reason == "ResourceNotRegistered":
        return Cause(
            reason="NodePluginsNotReady",
            message=f"{node} is there, but offers no GPU yet: {words}; if it lasts, see whether NVIDIA's device plugin "
            "runs on it and tolerates its taints",
        )
    if reason == "NodeNotFound":
        return Cause(
            reason="NodeClaimNotReady",
            message=f"the machine of {node} runs, but has not joined the cluster yet; if that takes more than 15 min, "
            "Karpenter replaces it: check the image family and the network of its node class",
        )
    return Cause(
        reason="NodeClaimNotReady",
        message=f"{node} is not ready to use: {reason}: {words}; look at it with kubectl describe nodeclaim "
        f"{name_of(claim)}",
    )


def _schedule_cause(claims: Sequence[Json], events: Sequence[Json]) -> Cause | None:
    """What Karpenter last said of a pod that it makes no node for, or of a pool; not if it has made a claim since."""
    newest_claim = max((event.created(claim) for claim in claims), default="")
    nominated: dict[str, str] = {}
    for one in events:
        if _nominated(one):
            pod = text(event.subject(one), "name")
            nominated[pod] = max(nominated.get(pod, ""), event.last_seen(one))
    for one in event.newest_first(events):
        pod, said, when = text(event.subject(one), "name"), event.words(one), event.last_seen(one)
        is_of_pool = text(one, "reason") == "NoCompatibleInstanceTypes"
        is_of_pod = text(one, "reason") == "FailedScheduling" and said.startswith(_NOT_SCHEDULED)
        if is_of_pod and (pod not in nominated or nominated[pod] < when):
            return schedule_failure(pod, said.removeprefix(_NOT_SCHEDULED))
        if is_of_pool and (not newest_claim or when > newest_claim):
            return schedule_failure("", said, pool=pod)
    return None
