"""Nodes that exist already, and nodes that are asked for with NodeClaims, as KAITO asks gpu-provisioner."""

from __future__ import annotations

import pytest

from tests.cluster.rig.rig import Rig
from tests.cluster.yard import A100, ClusterYard, served
from tests.stack.yard import CAPITAL
from tests.waiting import eventually

pytestmark = pytest.mark.cluster

LABELS = {
    "nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB",
    "nvidia.com/gpu.count": "1",
    "nvidia.com/gpu.memory": "81920",
    "nvidia.com/gpu.compute.major": "8",
    "nvidia.com/gpu.compute.minor": "0",
}
GPU_TAINT = {"key": "sku", "value": "gpu", "effect": "NoSchedule"}


def test_a_model_runs_on_nodes_that_are_there(idle_yard: ClusterYard, rig: Rig) -> None:
    labels = LABELS | {"pool": "research"}
    rig.make_node("gpu-research", A100, labels=labels, taints=[GPU_TAINT])
    try:
        resource = {"labelSelector": {"matchLabels": {"pool": "research"}}}
        idle_yard.configure_cluster(
            served("chat", resource=resource), nodes="existing", existing=[{"labels": labels, "count": 1}]
        )
        idle_yard.up()
        [worker] = idle_yard.pods("chat", "worker")
        assert worker["spec"]["nodeName"] == "gpu-research"
        assert "Paris" in idle_yard.ask("chat", CAPITAL)
        assert idle_yard.workspace("chat")["spec"]["instance"].startswith("NVIDIA-A100-SXM4-80GB")
        claims = idle_yard.api.items("/apis/karpenter.sh/v1/nodeclaims")
        assert not [each for each in claims if idle_yard.namespace in str(each)], "nodes were made"
    finally:
        rig.api.delete("/api/v1/nodes/gpu-research")


def test_nodes_with_less_than_the_plan_counts_with_are_named(idle_yard: ClusterYard, rig: Rig) -> None:
    small = LABELS | {"nvidia.com/gpu.memory": "40960", "pool": "small"}
    rig.make_node("gpu-small", A100, labels=small, taints=[GPU_TAINT])
    try:
        described = LABELS | {"pool": "small"}
        idle_yard.configure_cluster(
            served("chat", resource={"labelSelector": {"matchLabels": {"pool": "small"}}}, readyTimeoutSeconds=20),
            nodes="existing",
            existing=[{"labels": described, "count": 1}],
        )
        refused = idle_yard.pulumi("up").expect_failure().text
        assert "NodesDiffer" in refused, refused
        assert "node gpu-small has" in refused, refused
        assert "40 GiB, and the plan counts with" in refused, refused
    finally:
        rig.api.delete("/api/v1/nodes/gpu-small")


def test_a_node_is_asked_for_as_kaito_asks_for_it(idle_yard: ClusterYard) -> None:
    resource = {"instanceType": A100, "labelSelector": {"matchLabels": {"apps": "phi-3"}}}
    idle_yard.configure_cluster(served("chat", resource=resource), nodes="gpu-provisioner")
    idle_yard.up()
    [claim] = [
        each
        for each in idle_yard.api.items("/apis/karpenter.sh/v1/nodeclaims")
        if each["metadata"]["labels"].get("kaito.sh/workspacenamespace") == idle_yard.namespace
    ]
    assert claim["metadata"]["labels"]["kaito.sh/workspace"] == "chat"
    assert claim["metadata"]["labels"]["apps"] == "phi-3"
    [worker] = idle_yard.pods("chat", "worker")
    assert worker["spec"]["nodeName"] == claim["status"]["nodeName"]
    assert "Paris" in idle_yard.ask("chat", CAPITAL)

    idle_yard.pulumi("destroy").expect()
    where = f"/apis/karpenter.sh/v1/nodeclaims/{claim['metadata']['name']}"
    eventually(lambda: idle_yard.api.find(where) is None, 60, "the node that is paid for is given back")
    assert idle_yard.api.find(f"/api/v1/namespaces/{idle_yard.namespace}") is None
    assert idle_yard.resources() == []
