"""A workspace with a pod template of the user's own: on the workspace's nodes, and otherwise as it was written."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from components.planning.manifests.template import port_of
from tests.planning.manifests.builders import A100, EIGHT_A100, existing, planned, stack, template

POD = """
metadata: {labels: {team: vision, modelyard.dev/workspace: stolen}, annotations: {note: mine}},
spec: {
  nodeSelector: {zone: a},
  tolerations: [{key: sku, operator: Equal, value: gpu, effect: NoSchedule}, {key: team, operator: Exists}],
  containers: [{name: web, image: 'web:1', ports: [{containerPort: 9000}], resources: {limits: {nvidia.com/gpu: 1}}}],
  volumes: [{name: data, emptyDir: {}}]
}
"""


def deployment(text: str) -> dict[str, Any]:
    return planned(text).one("Deployment")


def test_the_template_is_as_it_was_written() -> None:
    pod = deployment(stack(template(POD)))["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    assert container["image"] == "web:1"
    assert container["resources"] == {"limits": {"nvidia.com/gpu": 1}}
    assert pod["spec"]["volumes"] == [{"name": "data", "emptyDir": {}}]
    assert pod["metadata"]["annotations"] == {"note": "mine"}
    assert pod["metadata"]["labels"]["team"] == "vision"


def test_it_gets_the_nodes_of_the_workspace() -> None:
    found = planned(stack(template(POD)))
    spec = found.one("Deployment")["spec"]["template"]["spec"]
    (pool,) = found.nodes()
    assert spec["nodeSelector"] == {"zone": "a", "modelyard.dev/nodes": pool["metadata"]["name"]}
    assert spec["tolerations"][:2] == [
        {"key": "sku", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"},
        {"key": "team", "operator": "Exists"},
    ]
    assert len(spec["tolerations"]) == 4, "a toleration that it has already is there twice"


def test_its_labels_are_ours_where_the_service_and_the_reconciliation_look_for_them() -> None:
    found = planned(stack(template(POD)))
    labels = found.one("Deployment")["spec"]["template"]["metadata"]["labels"]
    assert labels["modelyard.dev/workspace"] == "chat"
    for selector in (
        found.one("Deployment")["spec"]["selector"]["matchLabels"],
        found.one("Service")["spec"]["selector"],
    ):
        assert selector.items() <= labels.items()


def test_rendering_changes_nothing_of_the_config() -> None:
    found = planned(stack(template(POD)))
    inference = found.workspace().spec.inference
    assert inference is not None
    before = copy.deepcopy(inference.template)
    first = found.one("Deployment")
    first["spec"]["template"]["spec"]["containers"].clear()
    assert inference.template == before, "the next plan would be another one"
    assert found.one("Deployment") != first


def test_a_template_with_nothing_but_containers_is_enough() -> None:
    pod = deployment(stack(template()))["spec"]["template"]
    assert pod["metadata"]["labels"]["modelyard.dev/part"] == "template"
    assert [each["key"] for each in pod["spec"]["tolerations"]][:2] == ["sku", "nvidia.com/gpu"]


@pytest.mark.parametrize(
    ("fields", "resource", "replicas"),
    [("", f"instanceType: {A100}", 1), ("replicas: 3", f"instanceType: {A100}", 3), ("", "count: 2", 2)],
)
def test_there_are_as_many_pods_as_were_asked_for(fields: str, resource: str, replicas: int) -> None:
    chosen = resource if "instanceType" in resource else f"instanceType: {A100}, {resource}"
    spec = deployment(stack(template(more=fields, resource=chosen)))["spec"]
    assert spec["replicas"] == replicas


def test_an_old_pod_goes_before_a_new_one_comes_since_the_nodes_hold_no_more() -> None:
    strategy = deployment(stack(template()))["spec"]["strategy"]
    assert strategy == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}


@pytest.mark.parametrize(
    ("pod", "port"),
    [
        (POD, 9000),
        ("spec: {containers: [{name: web, image: web:1}]}", 5000),
        ("spec: {containers: [{name: a, image: a}, {name: b, image: b, ports: [{containerPort: 8080}]}]}", 8080),
    ],
)
def test_the_service_leads_to_the_first_port_or_to_kaito_s(pod: str, port: int) -> None:
    spec = planned(stack(template(pod))).one("Service")["spec"]
    assert spec["ports"] == [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": port}]
    assert spec["type"] == "ClusterIP"


def test_half_a_template_has_the_port_of_kaito_s_images() -> None:
    assert [port_of(half) for half in ({}, {"spec": None}, {"spec": {"containers": None}})] == [5000] * 3


def test_a_load_balancer_is_a_load_balancer() -> None:
    assert planned(stack(template(more="loadBalancer: true"))).one("Service")["spec"]["type"] == "LoadBalancer"


def test_preferred_nodes_leave_an_affinity_of_the_user_s_own_alone() -> None:
    preferred = "preferredNodes: [gpu-1]"
    text = existing(EIGHT_A100, workspaces=(template(resource=preferred),))
    assert "gpu-1" in str(deployment(text)["spec"]["template"]["spec"]["affinity"])
    own = "spec: {affinity: {podAntiAffinity: {}}, containers: [{name: web, image: web:1}]}"
    text = existing(EIGHT_A100, workspaces=(template(own, resource=preferred),))
    assert deployment(text)["spec"]["template"]["spec"]["affinity"] == {"podAntiAffinity": {}}


@pytest.mark.parametrize(
    "pod",
    ["spec: {}", "spec: , metadata: "],
)
def test_a_template_without_containers_ends_no_preview_with_a_traceback(pod: str) -> None:
    assert deployment(stack(template(pod)))["kind"] == "Deployment"
