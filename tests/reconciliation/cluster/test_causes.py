"""What a user reads when a workspace's pods do not run: the nodes, whole pods, and which cause comes first."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.reconciliation.cluster.api import Json
from components.reconciliation.cluster.causes import cause_of
from tests.reconciliation.cluster.objects import (
    IMAGE,
    RUNNING,
    container,
    ended,
    event,
    found,
    node,
    nodes,
    pending,
    pod,
    waiting,
)

NOT_FOUND = f'failed to pull and unpack image "{IMAGE}": failed to resolve reference "{IMAGE}": {IMAGE}: not found'
DENIED = f'failed to resolve reference "{IMAGE}": failed to authorize: 401 Unauthorized'
NO_GPU = "0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient nvidia.com/gpu. no new claims to "
NO_GPU += "deallocate, preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."
FORBIDDEN = 'Error creating: pods "chat-worker-2" is forbidden: '
QUOTA = "exceeded quota: team, requested: requests.nvidia.com/gpu=2, used: requests.nvidia.com/gpu=6, limited: "
EVICTED = "The node was low on resource: ephemeral-storage. Threshold quantity: 8Gi, available: 2Gi. "
DEVICES = "Allocate failed due to requested number of devices unavailable for nvidia.com/gpu. Requested: 1"


def test_a_pod_that_is_being_deleted_does_not_count() -> None:
    leaving = pod("chat-0", container(state=ended(137, "OOMKilled")))
    leaving["metadata"]["deletionTimestamp"] = "2026-08-21T10:10:00Z"
    assert cause_of([leaving], nodes()) is None


def test_a_jobs_failed_attempts_count_until_one_succeeds() -> None:
    attempts = [pod(f"weights-{n}", container("prefetch", ended(1)), phase="Failed", job="weights") for n in range(4)]
    success = pod("weights-9", container("prefetch", ended(0)), phase="Succeeded", job="weights")
    assert not found(attempts[0]).final, "one failed attempt is tried again"
    assert found(*attempts).final, "four failed attempts are not the last word"
    assert cause_of([*attempts, success], nodes()) is None


@pytest.mark.parametrize(
    ("why", "message", "reason", "words"),
    [
        ("Evicted", EVICTED, "PodEvicted", "keep weights in a volume (modelyard:kubernetes.weights)"),
        ("Evicted", "The node was low on resource: memory.", "PodEvicted", "more memory in resource.instanceType"),
        (
            "Terminated",
            "Pod was terminated in response to imminent node shutdown.",
            "PodEvicted",
            "resource.spot: false",
        ),
        ("UnexpectedAdmissionError", DEVICES, "PodRejected", "node gpu-1 did not take pod chat-worker-1"),
        ("OutOfmemory", "Node didn't have enough resource: memory", "PodRejected", "OutOfmemory"),
        ("DeadlineExceeded", "Pod was active on the node longer", "PodFailed", "DeadlineExceeded"),
    ],
)
def test_a_pod_that_was_ended_as_a_whole(why: str, message: str, reason: str, words: str) -> None:
    cause = found(pod(phase="Failed", status={"reason": why, "message": message}))
    assert cause.reason == reason
    assert words in cause.message


@pytest.mark.parametrize(
    ("there", "reason", "words"),
    [
        (nodes(node("other")), "NodeGone", "pod chat-worker-1 is on node gpu-1, which is gone"),
        ({}, "NodeGone", "which is gone"),
        (nodes(node(Ready="Unknown")), "NodeNotReady", "node gpu-1 of pod chat-worker-1 is not ready: kubelet stopped"),
        (
            nodes(node(DiskPressure="True")),
            "NodeDiskPressure",
            "the disk of node gpu-1 of pod chat-worker-1 is almost full",
        ),
        (nodes(node(MemoryPressure="True")), "NodeMemoryPressure", "the memory of node gpu-1"),
    ],
)
def test_the_node_of_a_pod(there: dict[str, Json], reason: str, words: str) -> None:
    cause = found(pod("chat-worker-1", container(state=RUNNING), phase="Running"), on=there)
    assert cause.reason == reason
    assert words in cause.message


def test_what_a_pod_on_a_lost_node_said_before_is_not_believed() -> None:
    crashed = pod("chat-worker-1", container(state=ended(137, "OOMKilled")), phase="Running")
    assert found(crashed, on={}).reason == "NodeGone"
    assert found(crashed, on=nodes(node(Ready="Unknown"))).reason == "NodeNotReady"


def test_nodes_that_may_not_be_read_are_not_called_gone() -> None:
    assert cause_of([pod("chat-0", container(state=RUNNING), phase="Running")], None) is None


def test_the_worst_comes_first_in_kaitos_order() -> None:
    pods = [
        pod("a", phase="Failed", status={"reason": "Evicted", "message": EVICTED}),
        pod("b", container(state=waiting("CrashLoopBackOff"), last=ended(1), restarts=1)),
        pod("c", container(state=waiting("CreateContainerError", "no"))),
        pod("d", container(state=waiting("ErrImagePull", NOT_FOUND))),
        pod("e", container(state=ended(137, "OOMKilled"))),
        pending(NO_GPU, name="f"),
    ]
    order: list[str] = []
    while pods:
        cause = found(*pods)
        order.append(cause.reason)
        pods = [one for one in pods if one["metadata"]["name"] != cause.pod]
    assert order == [
        "ContainerOOMKilled",
        "ImagePullError",
        "ContainerStartError",
        "ContainerCrashLoopBackOff",
        "PodEvicted",
        "Unschedulable",
    ]


def partial(value: Json) -> st.SearchStrategy[Any]:
    """The object, any part of which may be missing, null, or something else."""
    odd = st.sampled_from([None, "", "x", 0, [], {}, [None], True])
    fields = {key: st.one_of(_shaken(part), _shaken(part), odd) for key, part in value.items()}
    return st.fixed_dictionaries({}, optional=fields)


def _shaken(value: object) -> st.SearchStrategy[Any]:
    if isinstance(value, dict):
        return partial(value)  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(value, list):
        return st.tuples(*(_shaken(item) for item in value)).map(list)  # pyright: ignore[reportUnknownVariableType]
    return st.just(value)


KINDS_OF_PODS = [
    pod("a", container(state=waiting("CrashLoopBackOff"), last=ended(139), restarts=3), limits={"memory": "1Gi"}),
    pod("b", container(state=waiting("ImagePullBackOff", DENIED)), init=(container("code", ended(1)),)),
    pod("c", container(state=ended(137, "OOMKilled")), phase="Failed", job="weights"),
    pod("d", phase="Failed", status={"reason": "Evicted", "message": EVICTED}),
    pending(NO_GPU, name="e", tolerations=[{"key": "sku"}], volumes=[{"name": "w", "persistentVolumeClaim": {}}]),
]
KINDS_OF_EVENTS = [
    event("FailedMount", 'MountVolume.SetUp failed for volume "w" : secret "s" not found', "a"),
    event("FailedCreate", FORBIDDEN + QUOTA + "pods=x", "chat-abc12", kind="RayCluster"),
    event("ProvisioningFailed", "no", "models", kind="PersistentVolumeClaim"),
]


@given(
    pods=st.lists(st.one_of([partial(one) for one in KINDS_OF_PODS]), max_size=4),
    there=st.dictionaries(st.sampled_from(["gpu-1", "x"]), partial(node(DiskPressure="True")), max_size=2),
    events=st.lists(st.one_of([partial(one) for one in KINDS_OF_EVENTS]), max_size=3),
    seed=st.randoms(use_true_random=False),
)
def test_half_an_object_is_no_accident_and_the_order_of_pods_no_matter(
    pods: list[Json], there: dict[str, Json], events: list[Json], seed: random.Random
) -> None:
    cause = cause_of(pods, there, events)
    shuffled, others = list(pods), list(events)
    seed.shuffle(shuffled)
    seed.shuffle(others)
    assert cause_of(shuffled, there, others) == cause
