"""GPU nodes of a workspace: what Karpenter or gpu-provisioner is asked for, and how pods find existing nodes."""

from __future__ import annotations

import re
from typing import Any

import pytest

from components.planning.manifests.scope import Manifest
from tests.planning.manifests.builders import (
    A100,
    EIGHT_A100,
    SLICED_A100,
    container_of,
    existing,
    planned,
    serving,
    stack,
    template,
    worker_of,
)

AGENT_POOL = re.compile(r"[a-z][a-z0-9]{0,11}")
"""What AKS allows as the name of an agent pool, which gpu-provisioner makes of a NodeClaim's."""


def pool_of(*workspaces: str, kubernetes: str = "") -> dict[str, Any]:
    (pool,) = planned(stack(*workspaces, kubernetes=kubernetes)).nodes()
    assert pool["kind"] == "NodePool"
    return pool


def claims_of(*workspaces: str, kubernetes: str = "", name: str = "chat") -> list[Manifest]:
    return planned(stack(*workspaces, nodes="gpu-provisioner", kubernetes=kubernetes)).nodes(name)


def requirements_of(spec: dict[str, Any]) -> dict[str, list[str]]:
    assert {each["operator"] for each in spec["requirements"]} == {"In"}
    return {each["key"]: each["values"] for each in spec["requirements"]}


def names(claims: list[Manifest]) -> list[str]:
    return [claim["metadata"]["name"] for claim in claims]


def pod_selector(text: str) -> dict[str, str]:
    return worker_of(planned(text).one("RayService"))["spec"]["nodeSelector"]


def test_karpenter_is_asked_for_the_size_that_the_plan_chose() -> None:
    spec = pool_of()["spec"]["template"]["spec"]
    assert requirements_of(spec) == {
        "karpenter.sh/capacity-type": ["on-demand"],
        "kubernetes.io/os": ["linux"],
        "node.kubernetes.io/instance-type": [A100],
    }
    assert spec["taints"] == [{"key": "sku", "value": "gpu", "effect": "NoSchedule"}]
    assert spec["expireAfter"] == "Never", "a model of hours of work would be ended by the age of its node"


def test_spot_nodes_are_spot_nodes() -> None:
    spot = serving(resource=f"instanceType: {A100}, spot: true")
    assert requirements_of(pool_of(spot)["spec"]["template"]["spec"])["karpenter.sh/capacity-type"] == ["spot"]
    selector = {"key": "kubernetes.azure.com/scalesetpriority", "operator": "Equal", "value": "spot"}
    assert {**selector, "effect": "NoSchedule"} in worker_of(planned(stack(spot)).one("RayService"))["spec"][
        "tolerations"
    ], "AKS taints its spot nodes"


@pytest.mark.parametrize(
    ("resource", "gpus"),
    [
        (f"instanceType: {A100}", "2"),
        (f"instanceType: {A100}, count: 3", "6"),
        ("instanceType: Standard_NC96ads_A100_v4", "8"),
    ],
)
def test_karpenter_may_make_twice_the_plan_and_never_more(resource: str, gpus: str) -> None:
    assert pool_of(serving(resource=resource))["spec"]["limits"] == {"nvidia.com/gpu": gpus}


def test_a_node_with_a_model_on_it_is_not_taken_away_to_save_money() -> None:
    disruption = pool_of()["spec"]["disruption"]
    assert disruption["consolidationPolicy"] == "WhenEmpty"
    forbidden = [each for each in disruption["budgets"] if each["nodes"] == "0"]
    assert [each["reasons"] for each in forbidden] == [["Drifted", "Underutilized"]]


OWN = "nodeClassRef: {group: karpenter.k8s.aws, kind: EC2NodeClass, name: gpu}"
OWN_CLASS = serving(resource=f"instanceType: {A100}, nodeClass: fast-disks")


@pytest.mark.parametrize(
    ("nodes", "workspace", "kubernetes", "expected"),
    [
        pytest.param("karpenter", serving(), "", ("karpenter.azure.com", "AKSNodeClass", "default"), id="Karpenter"),
        pytest.param("gpu-provisioner", serving(), "", ("kaito.sh", "KaitoNodeClass", "default"), id="gpu-provisioner"),
        pytest.param("karpenter", serving(), OWN, ("karpenter.k8s.aws", "EC2NodeClass", "gpu"), id="the stack's"),
        pytest.param("gpu-provisioner", serving(), OWN, ("karpenter.k8s.aws", "EC2NodeClass", "gpu"), id="both know"),
        pytest.param(
            "karpenter", OWN_CLASS, "", ("karpenter.azure.com", "AKSNodeClass", "fast-disks"), id="the workspace's"
        ),
        pytest.param(
            "karpenter", OWN_CLASS, OWN, ("karpenter.k8s.aws", "EC2NodeClass", "fast-disks"), id="a name for its kind"
        ),
    ],
)
def test_the_class_of_the_nodes(nodes: str, workspace: str, kubernetes: str, expected: tuple[str, str, str]) -> None:
    (made,) = planned(stack(workspace, nodes=nodes, kubernetes=kubernetes)).nodes()
    spec = made["spec"] if made["kind"] == "NodeClaim" else made["spec"]["template"]["spec"]
    assert spec["nodeClassRef"] == dict(zip(("group", "kind", "name"), expected, strict=True))


def test_a_node_claim_is_the_one_that_kaito_makes() -> None:
    selected = serving(
        preset="name: phi-3-mini-4k-instruct",
        resource=f"instanceType: {A100}, imageFamily: azurelinux, labelSelector: {{matchLabels: {{apps: chat}}}}",
    )
    (claim,) = claims_of(selected)
    labels = claim["metadata"]["labels"]
    kaito = {
        "karpenter.sh/nodepool": "kaito",
        "kaito.sh/workspace": "chat",
        "kaito.sh/workspacenamespace": "modelyard-dev",
        "apps": "chat",
    }
    assert kaito.items() <= labels.items()
    assert "namespace" not in claim["metadata"], "a NodeClaim has none"
    assert claim["metadata"]["annotations"] == {
        "karpenter.sh/do-not-disrupt": "true",
        "kaito.sh/node-image-family": "azurelinux",
    }
    assert (claim["apiVersion"], claim["kind"]) == ("karpenter.sh/v1", "NodeClaim")
    assert claim["spec"] == {
        "nodeClassRef": {"group": "kaito.sh", "kind": "KaitoNodeClass", "name": "default"},
        "taints": [{"key": "sku", "value": "gpu", "effect": "NoSchedule"}],
        "requirements": [
            {"key": "karpenter.sh/nodepool", "operator": "In", "values": ["kaito"]},
            {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": [A100]},
            {"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]},
            {"key": "karpenter.azure.com/sku-name", "operator": "In", "values": [A100]},
        ],
        "resources": {"requests": {"storage": "87Gi"}},
    }, "7.1 GiB of weights, and 80 GiB for images and logs"


def test_a_template_s_nodes_have_room_for_what_nobody_has_counted() -> None:
    (claim,) = claims_of(template())
    assert claim["spec"]["resources"]["requests"]["storage"] == "1024Gi"


def test_there_is_a_claim_for_each_node_with_a_name_that_aks_takes_for_an_agent_pool() -> None:
    three = serving(resource=f"instanceType: {A100}, count: 3")
    found = names(claims_of(three))
    assert len(set(found)) == 3
    assert [name for name in found if not AGENT_POOL.fullmatch(name)] == []
    assert names(claims_of(three)) == found, "the same plan asks for other nodes"
    assert names(claims_of(serving(resource=f"instanceType: {A100}, count: 2"))) == found[:2], "fewer nodes replace all"


@pytest.mark.parametrize(
    ("workspace", "kubernetes"),
    [
        pytest.param(serving(name="other"), "", id="another workspace"),
        pytest.param(serving(), "namespace: other", id="another namespace"),
        pytest.param(serving(resource="instanceType: Standard_NC48ads_A100_v4"), "", id="another size"),
    ],
)
def test_what_is_another_s_is_another_claim(workspace: str, kubernetes: str) -> None:
    name = "other" if workspace.startswith("name: other") else "chat"
    assert names(claims_of(workspace, kubernetes=kubernetes, name=name)) != names(claims_of())


@pytest.mark.parametrize(
    "after",
    [
        pytest.param(serving(preset="name: phi-3-mini-4k-instruct"), id="another model, with a disk of another size"),
        pytest.param(serving(resource=f"instanceType: {A100}, nodeClass: fast"), id="another class"),
    ],
)
def test_a_claim_that_asks_for_something_else_is_another_claim(after: str) -> None:
    (before,), (now,) = claims_of(), claims_of(after)
    assert before["spec"] != now["spec"]
    assert names([before]) != names([now]), "the spec of a NodeClaim is immutable: the API server refuses a change"
    label = "modelyard.dev/nodes"
    assert before["metadata"]["labels"][label] != now["metadata"]["labels"][label], (
        "pods would stay on the node of the old claim, which the update deletes at its end"
    )


def test_pods_find_the_nodes_that_are_made_for_them_and_no_others() -> None:
    text = stack(serving(), serving(name="other"))
    pools = {name: planned(text).nodes(name)[0]["metadata"]["name"] for name in ("chat", "other")}
    for name, pool in pools.items():
        worker = worker_of(planned(text).one("RayService", name))["spec"]
        assert worker["nodeSelector"] == {"modelyard.dev/nodes": pool}
        (made,) = planned(text).nodes(name)
        assert made["spec"]["template"]["metadata"]["labels"]["modelyard.dev/nodes"] == pool
    assert pools["chat"] != pools["other"], "two workspaces would share nodes that are counted for each alone"
    elsewhere = planned(stack(kubernetes="namespace: other")).nodes()[0]["metadata"]["name"]
    assert elsewhere != pools["chat"], "NodePools have no namespace: two stacks would share one"


def test_the_longest_names_are_still_names_of_node_pools_and_label_values() -> None:
    name, namespace = "w" * 47, "n" * 63
    text = stack(serving(name=name), kubernetes=f"namespace: {namespace}")
    (pool,) = planned(text).nodes(name)
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", pool["metadata"]["name"])


def test_nodes_that_exist_are_not_made_and_are_found_by_their_labels() -> None:
    chosen = serving(resource="labelSelector: {matchLabels: {pool: big}}")
    text = existing(workspaces=(chosen,))
    assert planned(text).nodes() == []
    assert pod_selector(text) == {"pool": "big", "nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB"}


@pytest.mark.parametrize(("count", "kept"), [(1, True), (2, False)])
def test_labels_that_were_copied_from_one_node_keep_pods_from_none_of_its_kind(count: int, kept: bool) -> None:
    group = EIGHT_A100.replace("pool: big}, count: 2", f"pool: big, kubernetes.io/hostname: gpu-1}}, count: {count}")
    selector = pod_selector(existing(group))
    assert ("kubernetes.io/hostname" in selector) is kept
    assert selector["pool"] == "big"


def test_preferred_nodes_come_first_and_are_not_the_only_ones() -> None:
    text = existing(workspaces=(serving(resource="preferredNodes: [gpu-2, gpu-1]"),))
    affinity = worker_of(planned(text).one("RayService"))["spec"]["affinity"]["nodeAffinity"]
    assert list(affinity) == ["preferredDuringSchedulingIgnoredDuringExecution"], "required: others are not used"
    (term,) = affinity["preferredDuringSchedulingIgnoredDuringExecution"]
    hosts = {"key": "kubernetes.io/hostname", "operator": "In", "values": ["gpu-1", "gpu-2"]}
    assert term["preference"] == {"matchExpressions": [hosts]}
    head = next(iter(planned(text).one("RayService")["spec"]["rayClusterConfig"].values()))
    assert "affinity" not in str(head), "the head needs no GPU node"


@pytest.mark.parametrize(
    ("group", "resource", "expected"),
    [
        pytest.param(EIGHT_A100, "", {"nvidia.com/gpu": "1"}, id="whole GPUs"),
        pytest.param(
            SLICED_A100,
            "partition: {mode: mig, profile: 2g.20gb}",
            {"nvidia.com/mig-2g.20gb": "1"},
            id="slices, which NVIDIA's device plugin offers by another name",
        ),
    ],
)
def test_a_pod_asks_for_what_the_nodes_offer(group: str, resource: str, expected: dict[str, str]) -> None:
    chosen = serving("replicas: 1", preset="name: phi-3-mini-4k-instruct", resource=resource)
    container = container_of(worker_of(planned(existing(group, workspaces=(chosen,))).one("RayService")))
    asked = {key: value for key, value in container["resources"]["limits"].items() if "nvidia" in key}
    assert asked == expected
    assert container["resources"]["requests"] == container["resources"]["limits"]


def test_pods_go_to_the_group_of_existing_nodes_that_the_plan_has_taken() -> None:
    small = (
        "{labels: {nvidia.com/gpu.product: Tesla-T4, nvidia.com/gpu.memory: '15360', nvidia.com/gpu.count: '8', "
        "nvidia.com/gpu.compute.major: '7', nvidia.com/gpu.compute.minor: '5'}}"
    )
    text = existing(EIGHT_A100, small, workspaces=(serving("replicas: 1", resource=""),))
    node = planned(text).workspace().node
    assert node is not None
    assert node.gpu.name == "A100-80GB"
    assert "NVIDIA-A100-SXM4-80GB" in pod_selector(text).values()
