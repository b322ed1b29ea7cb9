"""What a user reads when the nodes of a workspace are not made, in the words of Karpenter and gpu-provisioner."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.reconciliation.cluster.api import Json
from components.reconciliation.cluster.cause import Cause
from components.reconciliation.cluster.provisioning import churn, node_claims_cause
from tests.reconciliation.cluster.objects import Conditions, claim, event, pool

LAUNCHED = ("True", "Launched", "")
REGISTERED = ("True", "Registered", "")
QUOTA = "subscription level on-demand vCPU quota for Standard_NC24ads_A100_v4 has been reached (may try provision an "
QUOTA += "alternative instance type)"
NO_QUOTA = (
    'agentPool.BeginCreateOrUpdate for "wsa1" failed: ErrCode_InsufficientVCPUQuota: left regional vcpu quota 0, '
)
NO_QUOTA += "requested quota 24. Current Limit: 0"
NO_ROOM = (
    "NodeClaim chat-aaaaa event: insufficient capacity, all requested instance types were unavailable during launch"
)
NO_CLASS = "NodeClaim chat-aaaaa event: insufficient capacity, resolving node class from nodeclaim, "
NO_CLASS += 'KWOKNodeClass "x" not found'


def found(*claims: Json, pools: tuple[Json, ...] = (), events: tuple[Json, ...] = ()) -> Cause:
    cause = node_claims_cause(claims, pools or (pool(),), events)
    assert cause is not None, "nothing was found wrong"
    return cause


def ice(name: str = "chat-aaaaa", words: str = NO_ROOM, count: int = 1) -> Json:
    return event("InsufficientCapacityError", words, name, kind="NodeClaim", namespace="default", count=count)


@pytest.mark.parametrize(
    ("condition", "reason", "words", "way_out", "final"),
    [
        (
            ("Unknown", "SubscriptionQuotaReached", QUOTA),
            "CloudQuotaExceeded",
            "node chat-x7k2p cannot be made: the cloud's quota is used up: SubscriptionQuotaReached: ",
            "have the quota raised in the cloud's portal",
            False,
        ),
        (
            ("Unknown", "LaunchFailed", NO_QUOTA),
            "CloudQuotaExceeded",
            "ErrCode_InsufficientVCPUQuota",
            "a size of another family in resource.instanceType",
            True,
        ),
        (
            ("Unknown", "AllocationFailure", "unable to allocate resources with selected VM size"),
            "InsufficientCapacity",
            "the cloud has no such machine free: AllocationFailure",
            "take another size in resource.instanceType",
            False,
        ),
        (
            ("False", "LaunchFailed", "creating instance, failed to get next loadbalancer page"),
            "NodeLaunchFailed",
            "the cloud did not start the machine: LaunchFailed: creating instance",
            "look at the provisioner's log",
            False,
        ),
        (
            ("Unknown", "LaunchFailed", "NodeClassRef not ready, AKSNodeClass default is not ready"),
            "NodePoolNotReady",
            "its node class is not usable",
            "correct modelyard:kubernetes.nodeClassRef or resource.nodeClass",
            False,
        ),
    ],
    ids=["quota", "no quota at all", "no capacity", "the cloud's error", "node class"],
)
def test_a_claim_that_is_not_launched(
    condition: tuple[str, str, str], reason: str, words: str, way_out: str, final: bool
) -> None:
    cause = found(claim({"Launched": condition}))
    assert cause.reason == reason
    assert words in cause.message
    assert way_out in cause.message.rpartition("; ")[2], "no way out at the end"
    assert cause.final is final


@pytest.mark.parametrize(
    ("conditions", "reason", "words"),
    [
        (
            {"Registered": ("Unknown", "NodeNotFound", "Node not registered with cluster")},
            "NodeClaimNotReady",
            "the machine of node chat-x7k2p runs, but has not joined the cluster yet; if that takes more than 15 min",
        ),
        (
            {
                "Registered": REGISTERED,
                "Initialized": (
                    "Unknown",
                    "ResourceNotRegistered",
                    'Resource "nvidia.com/gpu" was requested but not registered',
                ),
            },
            "NodePluginsNotReady",
            "see whether NVIDIA's device plugin runs on it",
        ),
        (
            {
                "Registered": REGISTERED,
                "Initialized": ("Unknown", "StartupTaintsExist", 'StartupTaint "a" still exists'),
            },
            "NodeClaimNotReady",
            'StartupTaintsExist: StartupTaint "a" still exists; look at it with kubectl describe nodeclaim chat-x7k2p',
        ),
    ],
)
def test_a_machine_that_is_no_node_yet(conditions: Conditions, reason: str, words: str) -> None:
    cause = found(claim({"Launched": LAUNCHED, **conditions}))
    assert cause.reason == reason
    assert words in cause.message
    assert not cause.final


@pytest.mark.parametrize(
    "claims",
    [
        [],
        [claim()],
        [claim({"Launched": LAUNCHED})],
        [claim({"Launched": LAUNCHED, "Registered": REGISTERED, "Initialized": ("True", "Initialized", "")})],
    ],
    ids=["none yet", "just made", "just launched", "ready"],
)
def test_what_only_awaits_reconciliation_is_no_cause(claims: list[Json]) -> None:
    assert node_claims_cause(claims, [pool()], []) is None


@pytest.mark.parametrize(
    ("conditions", "words", "final"),
    [
        (
            {"NodeClassReady": ("False", "NodeClassNotFound", "NodeClass not found on cluster")},
            "NodeClassNotFound: NodeClass not found on cluster; correct modelyard:kubernetes.nodeClassRef",
            True,
        ),
        ({"NodeClassReady": ("False", "SubnetsNotReady", "no subnet")}, "SubnetsNotReady: no subnet", False),
        (
            {"ValidationSucceeded": ("False", "NodePoolValidationFailed", "invalid")},
            "correct resource.labelSelector",
            True,
        ),
        (
            {"NodeRegistrationHealthy": ("False", "RegistrationFailed", "Failed to register node")},
            "check the image family",
            False,
        ),
    ],
)
def test_a_pool_that_makes_no_nodes(conditions: Conditions, words: str, final: bool) -> None:
    cause = found(pools=(pool(conditions),))
    assert cause.reason == "NodePoolNotReady"
    assert cause.message.startswith("node pool chat makes no nodes: ")
    assert words in cause.message
    assert cause.final is final


def test_a_class_that_is_only_not_looked_at_yet_is_no_cause() -> None:
    waits = ("False", "NodeClassReadinessUnknown", "Node Class Readiness Unknown")
    assert node_claims_cause([], [pool({"NodeClassReady": waits, "Ready": waits})], []) is None


def test_claims_that_come_and_go_are_counted_and_at_last_given_up() -> None:
    cause = found(events=(ice(),))
    assert cause.reason == "InsufficientCapacity"
    assert "insufficient capacity, all requested instance types were unavailable during launch" in cause.message
    assert "take another size in resource.instanceType, another region, or no spot nodes" in cause.message
    assert not cause.final, "capacity may come back"
    many = found(events=tuple(ice(f"chat-aaaa{n}") for n in range(5)))
    assert "a node cannot be made (failed 5 times so far)" in many.message
    assert many.final


def test_churn_counts_each_failure_once() -> None:
    nominated = [
        event("Nominated", f"Pod should schedule on: nodeclaim/chat-{name}") for name in ("aaaaa", "bbbbb", "ccccc")
    ]
    events = [ice("chat-aaaaa", count=3), *nominated]
    assert churn(events, [claim(name="chat-ccccc")]) == 4, "three by events, one claim that is gone, one that is there"
    assert churn([], [claim()]) == 0


def test_a_series_of_one_event_counts_as_often_as_it_happened() -> None:
    series = ice()
    series["count"] = None
    series["series"] = {"count": 7, "lastObservedTime": "2026-08-21T10:09:00.000000Z"}
    assert churn([series], []) == 7


def test_a_launch_that_failed_before_one_that_worked_is_past() -> None:
    failed = ice()
    later = claim({"Launched": LAUNCHED}, name="chat-bbbbb", created="2026-08-21T10:06:00Z")
    assert node_claims_cause([later], [pool()], [failed]) is None


def test_a_missing_node_class_is_not_called_a_want_of_capacity() -> None:
    cause = found(events=(ice(words=NO_CLASS),))
    assert cause.reason == "NodePoolNotReady"
    assert cause.final


def test_the_claims_of_other_workspaces_do_not_count() -> None:
    others = [ice("other-aaaaa"), ice("chat-2-aaaaa")]
    assert node_claims_cause([], [pool(name="chat")], others) is None
    assert node_claims_cause([], [pool(name="chat-2")], others) is not None


@pytest.mark.parametrize(
    ("words", "reason", "expected"),
    [
        (
            'incompatible requirements, label "x" does not have known values; all available instance types exceed '
            "limits for nodepool (NodePool=chat)",
            "NodePoolLimitReached",
            "node pool chat is at its limits and makes no node for pod chat-worker-1; raise the pool's spec.limits",
        ),
        (
            "node limits have been exhausted for nodepool (NodePool=chat)",
            "NodePoolLimitReached",
            "node pool chat is at its limits",
        ),
        (
            "no instance type met all requirements, requirements=node.kubernetes.io/instance-type In [Standard_NC24]",
            "NoInstanceType",
            "no machine suits pod chat-worker-1: no instance type met all requirements",
        ),
        (
            "did not tolerate taint (taint=sku=gpu:NoSchedule)",
            "NodePoolUnsuitable",
            "no node pool suits pod chat-worker-1: did not tolerate taint (taint=sku=gpu:NoSchedule); remove the taint",
        ),
        (
            "no dynamic nodepools found",
            "NodePoolUnsuitable",
            "Karpenter makes no node for pod chat-worker-1: no dynamic",
        ),
    ],
)
def test_a_pod_that_karpenter_makes_no_node_for(words: str, reason: str, expected: str) -> None:
    cause = found(events=(event("FailedScheduling", f"Failed to schedule pod, {words}"),))
    assert cause.reason == reason
    assert expected in cause.message
    assert not cause.final, "Karpenter says the same of a pod that comes before its pool is ready"


def test_a_pool_whose_requirements_leave_nothing() -> None:
    said = "NodePool requirements filtered out all compatible available instance types"
    cause = found(events=(event("NoCompatibleInstanceTypes", said, "chat", kind="NodePool", namespace="default"),))
    assert cause.reason == "NoInstanceType"
    assert "no machine suits node pool chat" in cause.message


def test_what_karpenter_said_before_it_made_a_claim_is_past() -> None:
    said = "Failed to schedule pod, no instance type met all requirements"
    refused = event("FailedScheduling", said, at="2026-08-21T10:01:00Z")
    nominated = event("Nominated", "Pod should schedule on: nodeclaim/chat-x7k2p", at="2026-08-21T10:02:00Z")
    assert node_claims_cause([claim()], [pool()], [refused, nominated]) is None
    assert node_claims_cause([claim()], [pool()], [nominated]) is None


def test_the_schedulers_own_events_are_not_karpenters() -> None:
    scheduler = event("FailedScheduling", "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.")
    assert node_claims_cause([], [pool()], [scheduler]) is None


ODD = st.sampled_from([None, "", "x", 0, [], {}, [None], True])


@given(
    conditions=st.lists(
        st.one_of(
            ODD, st.fixed_dictionaries({}, optional={key: ODD for key in ("type", "status", "reason", "message")})
        ),
        max_size=3,
    ),
    metadata=st.one_of(ODD, st.fixed_dictionaries({}, optional={"name": ODD, "creationTimestamp": ODD})),
)
def test_half_an_object_is_no_accident(conditions: list[object], metadata: object) -> None:
    partial: Json = {"metadata": metadata, "status": {"conditions": conditions}}
    half_event: Json = {"involvedObject": metadata, "reason": "InsufficientCapacityError", "series": metadata}
    node_claims_cause([partial, {}], [partial, {"status": None}], [half_event, {}])
