"""What the reconciliation is told of a workspace: plain values in the state, and the same after the way there."""

from __future__ import annotations

import json
from typing import Any

import pytest

from components.planning.manifests.scope import DIGEST_ANNOTATION
from components.planning.render import canonical_json
from components.reconciliation.cluster.mirror import MirrorSpec
from components.reconciliation.cluster.provider import wanted_of
from components.reconciliation.cluster.values import Wanted
from tests.planning.manifests.builders import (
    A100,
    SLICED_A100,
    Planned,
    existing,
    planned,
    serving,
    stack,
    template,
)


def wanted(found: Planned, name: str = "chat") -> Wanted:
    """As the provider reads it back out of the state."""
    return wanted_of({"name": name, "namespace": found.scope.namespace, "wanted": found.inputs(name).wanted})


def mirrored(found: Planned) -> MirrorSpec:
    return MirrorSpec(**json.loads(found.inputs().mirror))


STACKS = [
    pytest.param(stack(), id="Karpenter"),
    pytest.param(stack(nodes="gpu-provisioner"), id="gpu-provisioner"),
    pytest.param(existing(), id="existing nodes"),
    pytest.param(stack(template()), id="a pod template"),
]


@pytest.mark.parametrize("text", STACKS)
def test_the_way_through_the_state_loses_nothing(text: str) -> None:
    found = planned(text)
    inputs = found.inputs()
    for written in (inputs.wanted, inputs.mirror):
        assert written == canonical_json(json.loads(written)), "no change would be a change"
    told, workspace = wanted(found), found.workspace()
    assert (told.name, told.namespace, told.kind) == ("chat", "modelyard-dev", workspace.kind)
    assert (told.replicas, told.nodes.count) == (workspace.replicas, workspace.nodes)
    assert told.nodes.source == found.plan.kubernetes.nodes
    assert told.sent is False, "a failure of an earlier update would be taken for the answer to this one"


def test_the_application_and_the_pods_are_those_that_are_applied() -> None:
    found = planned(stack())
    service = found.one("RayService")
    (application,) = json.loads(service["spec"]["serveConfigV2"])["applications"]
    assert wanted(found).application == application
    assert wanted(found).pods == service["metadata"]["annotations"][DIGEST_ANNOTATION]


@pytest.mark.parametrize(("replicas", "beside"), [(8, True), (16, False)])
def test_whether_there_is_room_beside_is_told_as_it_is_rendered(replicas: int, beside: bool) -> None:
    found = planned(existing(workspaces=(serving(f"replicas: {replicas}", resource=""),)))
    told = wanted(found)
    assert told.beside is beside
    assert told.application["deployments"][0]["max_surge_percent"] == (100 if beside else 0)
    assert (found.one("RayService")["spec"]["upgradeStrategy"]["type"] == "NewCluster") is beside


def test_a_template_has_no_application_and_no_pods_of_ours() -> None:
    told = wanted(planned(stack(template(more="loadBalancer: true"))))
    assert (told.kind, told.application, told.pods) == ("template", {}, "")
    assert told.service_type == "LoadBalancer"


@pytest.mark.parametrize("nodes", ["karpenter", "gpu-provisioner"])
def test_made_nodes_are_looked_for_by_the_label_that_they_get(nodes: str) -> None:
    found = planned(stack(nodes=nodes))
    (made,) = found.nodes()
    told = wanted(found).nodes
    labels: dict[str, Any] = made["metadata"] if made["kind"] == "NodeClaim" else made["spec"]["template"]["metadata"]
    assert told.selector.items() <= labels["labels"].items()
    assert told.name == told.selector["modelyard.dev/nodes"]
    if made["kind"] == "NodePool":
        assert told.name == made["metadata"]["name"]


def test_existing_nodes_are_looked_for_by_the_labels_that_the_config_selects() -> None:
    chosen = serving(resource="labelSelector: {matchLabels: {pool: big}}")
    told = wanted(planned(existing(workspaces=(chosen,)))).nodes
    assert (told.selector, told.name) == ({"pool": "big", "nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB"}, "")
    assert (told.gpus, told.gpu, told.memory_gib, told.resource) == (8, "A100-80GB", 80.0, "nvidia.com/gpu")


def test_slices_are_looked_for_by_the_name_that_the_device_plugin_offers_them_by() -> None:
    chosen = serving(
        "replicas: 2", preset="name: phi-3-mini-4k-instruct", resource="partition: {mode: mig, profile: 2g.20gb}"
    )
    told = wanted(planned(existing(SLICED_A100, workspaces=(chosen,)))).nodes
    assert (told.gpus, told.resource) == (3, "nvidia.com/mig-2g.20gb")


def test_the_next_cheapest_plan_is_told_with_its_money() -> None:
    told = wanted(planned(stack(serving(resource="")))).nodes
    alternatives = [each for each in planned(stack(serving(resource=""))).workspace().alternatives if not each.reason]
    assert told.otherwise.startswith(f"the next cheapest that fits is {alternatives[0].nodes} x {alternatives[0].size}")
    assert "US$" in told.otherwise
    assert told.otherwise.endswith(": resource.instanceType")
    assert wanted(planned(existing())).nodes.otherwise == "", "there is no other plan for nodes that exist"


def test_the_mirror_shows_what_the_plan_has() -> None:
    adapters = "adapters: [{source: {name: polite, uri: 'hf:org/a'}}, {source: {name: ahoy, uri: 'hf:org/b'}}]"
    assert mirrored(planned(stack(serving("replicas: 2", inference=adapters), more="region: eastus"))) == MirrorSpec(
        namespace="modelyard-dev",
        name="chat",
        stack="dev",
        project="modelyard",
        kind="inference",
        model="phi-4",
        instance=A100,
        nodes=2,
        replicas=2,
        adapters=["ahoy", "polite"],
        cost="US$ 7.35/h",
    )


def test_the_mirror_of_what_has_no_model_or_no_price() -> None:
    web = mirrored(planned(stack(template())))
    assert (web.kind, web.model, web.instance) == ("template", "", A100)
    own = mirrored(planned(existing()))
    assert (own.instance, own.cost) == ("NVIDIA-A100-SXM4-80GB [group 1]", "")
