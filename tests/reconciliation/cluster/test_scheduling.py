"""What a user reads of a pod that no node takes."""

from __future__ import annotations

import pytest

from tests.reconciliation.cluster.objects import found, node, nodes, pending

HEAD = {"ray.io/node-type": "head"}
NO_GPU = "0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient nvidia.com/gpu. no new claims to "
NO_GPU += "deallocate, preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."


@pytest.mark.parametrize(
    ("message", "words", "way_out"),
    [
        (
            NO_GPU,
            "is taken by none of 3 nodes: 1 with a taint that it does not tolerate, 2 with too little nvidia.com/gpu",
            "it asks for 2 nvidia.com/gpu: add nodes",
        ),
        (
            "0/2 nodes are available: 2 node(s) had untolerated taint {sku: gpu}.",
            "2 with a taint that it does not tolerate {sku: gpu}",
            "remove the taint sku=gpu or use nodes without it; it tolerates nvidia.com/gpu",
        ),
        (
            "0/2 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }, 1 "
            "node(s) didn't match Pod's node affinity/selector. preemption: 0/2 nodes are available: 2 Preemption is "
            "not helpful for scheduling.",
            "1 without the labels that it asks for",
            "give nodes the labels apps=chat, or correct resource.labelSelector, instanceType and preferredNodes",
        ),
        (
            "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory.",
            "1 with too little cpu free, 1 with too little memory free",
            "take a larger size in resource.instanceType",
        ),
        (
            "0/1 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/not-ready: }.",
            "node.kubernetes.io/not-ready",
            "wait until the nodes are ready",
        ),
        (
            "0/3 nodes are available: 3 node(s) had volume node affinity conflict.",
            "3 that its volume cannot be mounted on",
            "let its volume be reached from the nodes",
        ),
        ("0/1 nodes are available: 1 node(s) were unschedulable.", "1 cordoned", "uncordon a node, or add one"),
        ("no nodes available to schedule pods", "no nodes available to schedule pods", "kubectl get nodes"),
    ],
)
def test_a_pod_that_no_node_takes(message: str, words: str, way_out: str) -> None:
    waits = pending(
        message, nodeSelector={"apps": "chat"}, tolerations=[{"key": "nvidia.com/gpu", "operator": "Exists"}]
    )
    cause = found(waits)
    assert cause.reason == "Unschedulable"
    assert cause.message.startswith("pod chat-worker-1 ")
    assert words in cause.message
    assert way_out in cause.message
    assert not cause.final, "a node may still come"


def test_a_cluster_without_gpus_is_told_apart_from_one_that_is_full() -> None:
    message = found(pending(NO_GPU), on=nodes(node(gpus=0))).message
    assert "no node offers any yet: add GPU nodes, or see whether NVIDIA's device plugin runs on them" in message


def test_a_newer_scheduler_names_no_taint_so_the_nodes_are_asked() -> None:
    message = "0/2 nodes are available: 2 node(s) had untolerated taint(s)."
    taints = (
        {"key": "team", "value": "vision", "effect": "NoSchedule"},
        {"key": "sku", "value": "gpu", "effect": "NoSchedule"},
    )
    waits = pending(message, tolerations=[{"key": "sku", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"}])
    assert "remove the taint team=vision" in found(waits, on=nodes(node(taints=taints))).message


def test_a_head_without_room_names_its_own_settings() -> None:
    head = pending("0/1 nodes are available: 1 Insufficient memory.", name="chat-head")
    head["metadata"]["labels"] = HEAD
    head["spec"]["containers"] = [{"name": "ray-head", "resources": {"requests": {"memory": "4Gi"}}}]
    assert (
        "it asks for 4Gi of memory: add a node without GPUs, or lower modelyard:kubernetes.head.memory"
        in found(head).message
    )


def test_a_pod_in_a_queue_is_said_to_be_held_back() -> None:
    gated = pending(
        "Scheduling is blocked due to non-empty scheduling gates",
        reason="SchedulingGated",
        schedulingGates=[{"name": "kueue.x-k8s.io/admission"}],
    )
    assert "held back by the scheduling gate kueue.x-k8s.io/admission" in found(gated).message
