"""ResourceReady: whether a workspace's GPU nodes are there, and are what the plan counts with."""

from __future__ import annotations

from dataclasses import replace

import pytest

from components.reconciliation.cluster.api import Json
from components.reconciliation.cluster.cause import Cause
from components.reconciliation.cluster.nodes import is_usable, nodes_finding, worker_nodes
from components.reconciliation.cluster.values import Seen, WantedNodes
from tests.reconciliation.cluster.objects import job, node, nodes, pod
from tests.reconciliation.cluster.seen import NODES, SEEN, WANTED, head, worker

MADE = WantedNodes(
    source="karpenter",
    count=2,
    selector={"modelyard.dev/nodes": "ml-chat"},
    name="ml-chat",
    gpus=1,
    gpu="A100-80GB",
    memory_gib=80,
    otherwise="the next cheapest that fits is 1 x Standard_NC40ads_H100_v5, US$ 6.98/h: resource.instanceType",
)
QUOTA = Cause(reason="CloudQuotaExceeded", message="the subscription's quota is used up; ask for more")


def gpu_node(product: str = "NVIDIA-A100-SXM4-80GB", count: int = 2, memory: int = 81920, name: str = "gpu-1") -> Json:
    """A node as NVIDIA's GPU feature discovery labels it."""
    found = node(name, gpus=count)
    found["metadata"]["labels"] = {
        "pool": "big",
        "nvidia.com/gpu.product": product,
        "nvidia.com/gpu.count": str(count),
        "nvidia.com/gpu.memory": str(memory),
        "nvidia.com/gpu.compute.major": "8",
    }
    return found


def on(*found: Json) -> Seen:
    return replace(SEEN, nodes=nodes(*found) if found else {})


def of_pool(name: str, *, gpus: int = 1, ready: str = "True") -> Json:
    """A node that was made for the workspace."""
    found = node(name, gpus=gpus, Ready=ready)
    found["metadata"]["labels"] = {"modelyard.dev/nodes": "ml-chat"}
    return found


@pytest.mark.parametrize(
    ("seen", "cause", "reason", "words"),
    [
        pytest.param(on(of_pool("a"), of_pool("b")), None, "NodesReady", "2 of 2 nodes are ready: a, b", id="all"),
        pytest.param(on(of_pool("a"), node("other")), None, "NodesProvisioning", "1 of 2 nodes", id="another's node"),
        pytest.param(on(), None, "NodesProvisioning", "0 of 2 nodes are ready", id="none yet"),
        pytest.param(
            on(of_pool("a"), of_pool("b", ready="False")), None, "NodesProvisioning", "1 of 2", id="not Ready"
        ),
        pytest.param(
            on(of_pool("a"), of_pool("b", gpus=0)), None, "NodesProvisioning", "1 of 2", id="no device plugin yet"
        ),
        pytest.param(
            on(of_pool("a")),
            QUOTA,
            "CloudQuotaExceeded",
            "the subscription's quota is used up; ask for more; the next cheapest that fits is 1 x Standard_NC40ads",
            id="they cannot be had: why, and what else could",
        ),
        pytest.param(
            on(of_pool("a"), of_pool("b")),
            QUOTA,
            "NodesReady",
            "2 of 2",
            id="they are there, whatever was wrong before",
        ),
    ],
)
def test_nodes_that_are_made(seen: Seen, cause: Cause | None, reason: str, words: str) -> None:
    found = nodes_finding(replace(WANTED, nodes=MADE), seen, cause)
    assert found.reason == reason
    assert words in found.message
    assert (found.status == "True") is (reason == "NodesReady")


BIG = replace(NODES, selector={"pool": "big"})


@pytest.mark.parametrize(
    ("seen", "reason", "words"),
    [
        pytest.param(on(gpu_node()), "NodesReady", "1 of 1 nodes are ready: gpu-1", id="as described"),
        pytest.param(
            on(node("cpu-1", gpus=0)),
            "NodesMissing",
            "no node has pool=big: correct resource.labelSelector, or add the labels to nodes",
            id="none is selected",
        ),
        pytest.param(
            on({**gpu_node(), "status": node(Ready="Unknown")["status"]}),
            "NodesMissing",
            "0 of 1 nodes with pool=big are ready: gpu-1 is not Ready (kubelet stopped posting node status)",
            id="not Ready",
        ),
        pytest.param(
            on({**gpu_node(), "status": node(gpus=0)["status"]}),
            "NodesMissing",
            "gpu-1 offers no nvidia.com/gpu: NVIDIA's device plugin does not run there",
            id="no device plugin",
        ),
        pytest.param(
            on(gpu_node(count=1)),
            "NodesDiffer",
            "node gpu-1 has 1 x A100-80GB, and the plan counts with 2 x A100-80GB; correct "
            "modelyard:kubernetes.existing, or the labels that select the nodes",
            id="fewer GPUs than described",
        ),
        pytest.param(
            on(gpu_node("NVIDIA-A100-SXM4-40GB", memory=40960)),
            "NodesDiffer",
            "of 40 GiB, and the plan counts with A100-80GB of 80 GiB",
            id="smaller GPUs than described",
        ),
        pytest.param(on(gpu_node(memory=81559)), "NodesReady", "", id="a driver counts a little less than is printed"),
        pytest.param(on(gpu_node(count=8)), "NodesReady", "", id="more than described"),
        pytest.param(
            on(gpu_node(), gpu_node(count=1, name="gpu-2")), "NodesDiffer", "node gpu-2", id="one of several differs"
        ),
    ],
)
def test_nodes_that_exist(seen: Seen, reason: str, words: str) -> None:
    found = nodes_finding(replace(WANTED, nodes=BIG), seen, None)
    assert found.reason == reason
    assert words in found.message
    assert (found.status == "True") is (reason == "NodesReady")


def test_nodes_that_nobody_has_described_or_labelled_are_taken_as_they_are() -> None:
    plain = node()
    plain["metadata"]["labels"] = {"pool": "big"}
    assert nodes_finding(replace(WANTED, nodes=BIG), on(plain), None).status == "True"
    undescribed = replace(BIG, gpus=0, memory_gib=0)
    assert nodes_finding(replace(WANTED, nodes=undescribed), on(gpu_node(count=1)), None).status == "True"


@pytest.mark.parametrize(
    ("offered", "usable"), [("3", True), (3, True), ("0", False), (None, False), ("many", False), ("-1", False)]
)
def test_slices_count_where_slices_are_asked_for(offered: object, usable: bool) -> None:
    sliced = node(gpus=1)
    sliced["status"]["allocatable"]["nvidia.com/mig-2g.20gb"] = offered
    assert is_usable(sliced, "nvidia.com/mig-2g.20gb") is usable
    assert is_usable(sliced)


@pytest.mark.parametrize(
    ("pods", "reason"),
    [
        pytest.param((head(), worker(1), worker(2)), "PodsScheduled", id="both workers have nodes"),
        pytest.param((head(), worker(1), worker(2, on="")), "PodsPending", id="one waits; the head is no worker"),
        pytest.param((), "PodsPending", id="no pod yet"),
        pytest.param(
            (
                pod("w-1", labels={"modelyard.dev/part": "template"}),
                pod("w-2", labels={"modelyard.dev/part": "template"}),
            ),
            "PodsScheduled",
            id="pods of a template",
        ),
        pytest.param(
            (worker(1), pod("fetch", labels={"modelyard.dev/part": "prefetch"})),
            "PodsPending",
            id="one fetches weights",
        ),
    ],
)
def test_a_login_that_may_not_read_nodes_learns_it_from_the_pods(pods: tuple[Json, ...], reason: str) -> None:
    found = nodes_finding(replace(WANTED, replicas=2), replace(SEEN, nodes=None, pods=pods), None)
    assert found.reason == reason
    assert "this login may not read nodes" in found.message


def test_a_login_that_may_not_read_nodes_is_told_what_the_scheduler_says() -> None:
    cause = Cause(reason="Unschedulable", message="pod chat-worker-1 is taken by none of 3 nodes; add nodes")
    found = nodes_finding(WANTED, replace(SEEN, nodes=None, pods=(worker(on=""),)), cause)
    assert (found.reason, found.message) == ("Unschedulable", cause.message)


def test_the_nodes_that_models_are_on_are_told_once_and_sorted() -> None:
    pods = [worker(1, on="b"), worker(2, on="a"), worker(3, on="b"), worker(4, on="")]
    assert worker_nodes(pods) == ["a", "b"]
    assert worker_nodes([job()]) == []
