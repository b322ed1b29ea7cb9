"""What stands around a workspace's pods: an identity without rights, closed ports, and slow evictions."""

from __future__ import annotations

from typing import Any

import pytest

from tests.planning.manifests.builders import head_of, planned, serving, stack, template, worker_of


def policy(text: str) -> dict[str, Any]:
    return planned(text).one("NetworkPolicy")["spec"]


def test_the_identity_of_the_pods_has_no_rights_and_no_token() -> None:
    found = planned(stack())
    account = found.one("ServiceAccount")
    assert account["automountServiceAccountToken"] is False
    assert head_of(found.one("RayService"))["spec"]["serviceAccountName"] == account["metadata"]["name"]
    rights = [each["kind"] for each in found.everything() if "Role" in each["kind"]]
    assert rights == [], "the pods ask the API server nothing"


def test_only_the_endpoint_is_reached_from_everywhere() -> None:
    spec = policy(stack())
    everybody = [rule["ports"] for rule in spec["ingress"] if "from" not in rule]
    assert everybody == [[{"port": 8000, "protocol": "TCP"}]], "Ray's ports run what they are sent"
    assert spec["policyTypes"] == ["Ingress"], "weights and adapters are fetched from outside"


def test_ray_s_own_ports_are_for_the_workspace_the_operator_and_the_api_server() -> None:
    (rule,) = [rule for rule in policy(stack(serving(), serving(name="other")))["ingress"] if "from" in rule]
    assert "ports" not in rule
    own, operator, system = rule["from"]
    assert own == {"podSelector": {"matchLabels": {"modelyard.dev/workspace": "chat"}}}, "another workspace gets in"
    assert operator["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "kuberay-operator"}
    assert operator["namespaceSelector"] == {}, "the operator is in a namespace of its own"
    assert system == {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}


def test_the_policy_is_about_all_pods_of_the_workspace() -> None:
    found = planned(stack())
    selected = found.one("NetworkPolicy")["spec"]["podSelector"]["matchLabels"]
    for pod in (head_of(found.one("RayService")), worker_of(found.one("RayService"))):
        assert selected.items() <= pod["metadata"]["labels"].items()


def test_policies_can_be_left_to_somebody_else() -> None:
    assert planned(stack(kubernetes="networkPolicy: false")).kinds("NetworkPolicy") == []


def test_a_drain_takes_one_replica_at_a_time() -> None:
    found = planned(stack(serving("replicas: 2")))
    budget = found.one("PodDisruptionBudget")["spec"]
    assert budget["maxUnavailable"] == 1
    selected = budget["selector"]["matchLabels"]
    assert selected.items() <= worker_of(found.one("RayService"))["metadata"]["labels"].items()
    assert not selected.items() <= head_of(found.one("RayService"))["metadata"]["labels"].items()


def test_a_single_replica_does_not_keep_its_node_from_being_drained() -> None:
    assert planned(stack(serving("replicas: 1"))).kinds("PodDisruptionBudget") == []


@pytest.mark.parametrize("kind", ["ServiceAccount", "NetworkPolicy", "PodDisruptionBudget"])
def test_a_template_of_the_user_s_own_looks_after_itself(kind: str) -> None:
    assert planned(stack(template(more="replicas: 2"))).kinds(kind) == []
