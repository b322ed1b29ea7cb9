"""What a provisioner's words mean, and what to do about it: quota, capacity, node class, limits, instance types."""

from __future__ import annotations

import re
from typing import Literal

from components.reconciliation.cluster.api import Json
from components.reconciliation.cluster.cause import Cause, cut
from components.reconciliation.cluster.partial_json import name_of

Kind = Literal["quota", "capacity", "nodeClass", "launch"]

_QUOTA = re.compile(r"quota|VcpuLimitExceeded|MaxSpotInstanceCountExceeded|LimitExceeded", re.IGNORECASE)
_CAPACITY = re.compile(
    r"insufficient ?capacity|AllocationFail|OverconstrainedZonal|OverconstrainedAlloc|SKUNotAvailable"
    r"|sku is unavailable|unable to allocate|InsufficientInstanceCapacity|not available in (location|zone)",
    re.IGNORECASE,
)
_NODE_CLASS = re.compile(r"resolving node ?class|NodeClassRef not ready|nodeclass.{0,40} not found", re.IGNORECASE)
_LIMIT = re.compile(r"exceed limits for nodepool|node limits have been exhausted")
_POOL = re.compile(r"\(NodePool=\"?(?P<name>[\w.-]+)|nodepool:? \"(?P<quoted>[\w.-]+)\"")
_INSTANCE_TYPE = re.compile(r"no instance type|filtered out all|does not have known values|incompatible requirements")
_WAYS_OUT: dict[Kind, str] = {
    "quota": "have the quota raised in the cloud's portal, or take a size of another family in resource.instanceType",
    "capacity": "take another size in resource.instanceType, another region, or no spot nodes (resource.spot: false)",
    "nodeClass": "correct modelyard:kubernetes.nodeClassRef or resource.nodeClass, or make the node class",
    "launch": "look at the provisioner's log, and check resource.instanceType and resource.nodeClass",
}


def kind_of(words: str) -> Kind:
    """What a launch failed for; the node class comes first, since a missing one is reported as a want of capacity.

    >>> kind_of("SubscriptionQuotaReached: subscription level on-demand vCPU quota has been reached")
    'quota'
    >>> kind_of("insufficient capacity, resolving node class from nodeclaim, not found")
    'nodeClass'
    """
    if _NODE_CLASS.search(words):
        return "nodeClass"
    if _QUOTA.search(words):
        return "quota"
    return "capacity" if _CAPACITY.search(words) else "launch"


def sentence(what: str, kind: Kind, said: str, again: str) -> str:
    problem = {
        "quota": "the cloud's quota is used up",
        "capacity": "the cloud has no such machine free",
        "nodeClass": "its node class is not usable",
        "launch": "the cloud did not start the machine",
    }[kind]
    return f"{what} cannot be made{again}: {problem}: {said}; {_WAYS_OUT[kind]}"


def not_ready_pool(pool: Json, kind: str, reason: str, words: str) -> Cause:
    """A NodePool whose condition `kind` is False."""
    said = cut(f"{reason}: {words}" if words else reason) or "no reason was given"
    if kind == "NodeRegistrationHealthy":
        way_out = "check the image family, the network and the permissions of its node class"
    elif kind == "ValidationSucceeded":
        way_out = "correct resource.labelSelector and instanceType"
    else:
        way_out = _WAYS_OUT["nodeClass"]
    return Cause(
        reason="NodePoolNotReady",
        message=f"node pool {name_of(pool)} makes no nodes: {said}; {way_out}",
        final=kind == "ValidationSucceeded" or reason == "NodeClassNotFound",
    )


def schedule_failure(pod: str, words: str, pool: str = "") -> Cause:
    """What Karpenter says of a pod, or of a pool, that it can make no node for. One part of the words for each pool."""
    limit = _LIMIT.search(words)
    whom = f"pod {pod}" if pod else f"node pool {pool}"
    if limit:
        part = next(part for part in words.split("; ") if _LIMIT.search(part))
        named = _POOL.search(part)
        name = (named["name"] or named["quoted"]) if named else pool
        return Cause(
            reason="NodePoolLimitReached",
            message=f"node pool {name or '(unnamed)'} is at its limits and makes no node for {whom}; raise the pool's "
            "spec.limits, or use fewer replicas or less resource.count",
            pod=pod,
        )
    if "did not tolerate taint" in words and not _INSTANCE_TYPE.search(words):
        return Cause(
            reason="NodePoolUnsuitable",
            message=f"no node pool suits {whom}: {cut(words)}; remove the taint from the pool, or use another",
            pod=pod,
        )
    if _INSTANCE_TYPE.search(words):
        return Cause(
            reason="NoInstanceType",
            message=f"no machine suits {whom}: {cut(words)}; check that the region has resource.instanceType, spelt as "
            "the provisioner spells it, and that it is large enough",
            pod=pod,
        )
    return Cause(
        reason="NodePoolUnsuitable",
        message=f"Karpenter makes no node for {whom}: {cut(words)}; look at the pools with kubectl describe nodepool",
        pod=pod,
    )
