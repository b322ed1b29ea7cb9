"""All that a stack applies: what its workspaces share, what of it is refused, and what stands in none of it."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.cluster_objects import type_token
from components.planning.cluster_refusals import not_provisioned
from components.planning.errors import SpecError
from components.planning.manifests.scope import Delivery, default_namespace
from components.planning.manifests.stack import namespace, stack_manifests
from tests.planning.manifests.builders import A100, DELIVERY, existing, planned, serving, stack, template

LABEL_VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?")
DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")

LOGGED_IN = "{source: {name: %s, image: 'r.example.com/a:1', imagePullSecrets: [%s]}}"
EVERY_PART = stack(
    serving("replicas: 2, loadBalancer: true", preset="name: phi-4, presetOptions: {modelAccessSecret: hub}"),
    template().replace("name: chat", "name: web", 1),
    kubernetes="weights: {size: 100Gi}, expose: {domain: llm.example.com, gateway: {name: main}}",
)


def test_the_code_is_one_config_map_that_is_never_changed() -> None:
    code = stack_manifests(planned(stack()).scope)[0]
    assert (code["kind"], code["immutable"]) == ("ConfigMap", True)
    assert code["binaryData"] == {"code.zip": DELIVERY.archive}
    newer = planned(stack(), delivery=Delivery(digest="beef", archive="", ray_version="2.60.0"))
    assert stack_manifests(newer.scope)[0]["metadata"]["name"] != code["metadata"]["name"], (
        "pods of the old code would get the new one when they start again"
    )


def test_the_namespace_warns_of_pods_that_are_less_than_restricted() -> None:
    found = namespace(planned(stack()).scope)
    assert found["metadata"]["name"] == "modelyard-dev"
    assert found["metadata"]["labels"]["pod-security.kubernetes.io/warn"] == "restricted"


def test_everything_is_in_the_namespace_but_for_what_has_none() -> None:
    for manifest in planned(EVERY_PART).everything():
        expected = None if manifest["kind"] in ("Namespace", "NodePool", "NodeClaim") else "modelyard-dev"
        assert manifest["metadata"].get("namespace") == expected, manifest["kind"]


def test_everything_says_whose_it_is() -> None:
    for manifest in planned(EVERY_PART).everything():
        labels = manifest["metadata"]["labels"]
        assert labels["app.kubernetes.io/managed-by"] == "modelyard", manifest["kind"]
        assert labels["modelyard.dev/stack"] == "dev", manifest["kind"]
        shared = manifest["kind"] in ("Namespace", "ConfigMap", "PersistentVolumeClaim")
        assert ("modelyard.dev/workspace" in labels) is not shared, manifest["kind"]


def test_what_a_stack_applies_in_order() -> None:
    kinds = [each["kind"] for each in planned(EVERY_PART).everything()]
    assert kinds == [
        *("Namespace", "ConfigMap", "PersistentVolumeClaim"),
        *("NodePool", "ServiceAccount", "NetworkPolicy", "PodDisruptionBudget", "Job", "HTTPRoute", "RayService"),
        *("NodePool", "HTTPRoute", "Service", "Deployment"),
    ]


def test_no_two_objects_have_one_name() -> None:
    found = planned(EVERY_PART).everything()
    assert len({(each["kind"], each["metadata"]["name"]) for each in found}) == len(found)


def test_every_kind_has_the_name_that_pulumi_gives_it() -> None:
    tokens = {type_token(each) for each in planned(EVERY_PART).everything()}
    assert {
        "kubernetes:core/v1:ConfigMap",
        "kubernetes:ray.io/v1:RayService",
        "kubernetes:karpenter.sh/v1:NodePool",
        "kubernetes:networking.k8s.io/v1:NetworkPolicy",
    } <= tokens


@pytest.mark.parametrize("name", ["dev", "Prod_EU", "v1.2", "team-", "_", "-x-", "s" * 100, "a" * 62 + "-b"])
def test_every_name_that_pulumi_takes_for_a_stack_can_be_a_label_and_a_namespace(name: str) -> None:
    labels = namespace(planned(stack(), name=name).scope)["metadata"]["labels"]
    assert LABEL_VALUE.fullmatch(labels["modelyard.dev/stack"]), "the API server would refuse every object"
    assert DNS_LABEL.fullmatch(default_namespace(name))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(key=st.text(alphabet="0123456789abcdefghijklmnopqrstuvwxyz", min_size=24, max_size=64))
def test_an_api_key_stands_in_nothing_that_is_applied_or_kept(key: str) -> None:
    found = planned(stack(more=f"apiKeys: [{{name: alice, key: '{key}'}}]"))
    inputs = found.inputs()
    told = json.dumps(found.everything()) + inputs.wanted + inputs.mirror + inputs.endpoint
    assert '"api_keys":[{' in inputs.wanted, "the service would let everybody in"
    assert key not in told


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param(stack(), [], id="all of it can be made"),
        pytest.param(
            stack().replace("image: registry.example.com/serving:1", "createNamespace: true"),
            ["modelyard:kubernetes.image is not set, and chat would run from it"],
            id="no image",
        ),
        pytest.param(
            stack(template()).replace("image: registry.example.com/serving:1", "createNamespace: true"),
            [],
            id="a pod template has an image of its own",
        ),
        pytest.param(
            stack(serving(resource="instanceType: Standard_NC4as_T4_v3")),
            ["chat: a replica over 3 nodes is planned and not provisioned", "one node holds it"],
            id="a replica over several nodes",
        ),
        pytest.param(
            stack(serving(resource=""), nodes="existing"),
            ["chat: its nodes are not described", "modelyard:kubernetes.existing"],
            id="nodes that nobody has described",
        ),
        pytest.param(
            stack(serving(resource=f"instanceType: {A100}, spot: true"), nodes="gpu-provisioner"),
            ["chat: gpu-provisioner makes no spot nodes", "nodes: karpenter"],
            id="spot nodes of gpu-provisioner",
        ),
        pytest.param(
            stack(serving(inference=f"adapters: [{LOGGED_IN % ('a', 'one')}, {LOGGED_IN % ('b', 'two')}]")),
            ["several imagePullSecrets (one, two)", "put all registries into one Secret"],
            id="two logins",
        ),
        pytest.param(
            stack(
                serving(
                    preset="name: phi-4, presetOptions: {weights: 'oci:r.example.com/w:1', imagePullSecrets: [one]}",
                    inference=f"adapters: [{LOGGED_IN % ('b', 'two')}]",
                )
            ),
            ["its weights and adapters name several imagePullSecrets (one, two)"],
            id="a login of the weights and one of an adapter",
        ),
        pytest.param(
            stack(
                serving(
                    preset="name: phi-4, presetOptions: {image: 'r.example.com/w:1', imagePullSecrets: [one]}",
                    inference=f"adapters: [{LOGGED_IN % ('b', 'two')}]",
                )
            ),
            [],
            id="what the kubelet mounts, it logs in for itself",
        ),
        pytest.param(
            stack(template("spec: {}")),
            ["chat: its template has no containers; write inference.template.spec.containers"],
            id="a template without containers",
        ),
        pytest.param(
            stack(serving("replicas: 129")),
            ["chat: 129 replicas, and a Ray of ours has at most 128"],
            id="more replicas than a Ray has workers for, twice",
        ),
        pytest.param(stack(template(more="replicas: 129")), [], id="a Deployment has as many as it likes"),
        pytest.param(
            stack(
                "name: chat, tuning: {preset: {name: phi-3-mini-4k-instruct}, method: lora, input: {urls: ["
                "'https://example.com/d.parquet']}, output: {image: 'r.example.com/a:1', imagePushSecret: p}}, "
                f"resource: {{instanceType: {A100}}}"
            ),
            ["chat: tuning is planned and not provisioned"],
            id="tuning",
        ),
    ],
)
def test_what_is_only_planned_is_refused_before_anything_is_made(text: str, words: list[str]) -> None:
    plan = planned(text).plan
    found = not_provisioned(plan.placed, plan.kubernetes)
    assert bool(found) == bool(words)
    told = [each for each in plan.warnings if each.startswith("pulumi up would refuse this plan: ")]
    assert len(told) == len(found), "a preview does not tell of it"
    for each in words:
        assert any(each in sentence for sentence in found), found


@pytest.mark.parametrize(
    ("kubernetes", "path", "found"),
    [
        ("namespace: Models", "namespace", '"Models"'),
        ("namespace: -models", "namespace", '"-models"'),
        (f"namespace: {'n' * 64}", "namespace", f'"{"n" * 64}"'),
        ("head: {cpu: two}", "head.cpu", '"two"'),
        ("head: {memory: 4 GiB}", "head.memory", '"4 GiB"'),
        ("weights: {size: -1Gi}", "weights.size", '"-1Gi"'),
    ],
)
def test_what_the_api_server_would_refuse_is_refused_in_the_preview(kubernetes: str, path: str, found: str) -> None:
    with pytest.raises(SpecError) as refused:
        planned(stack(kubernetes=kubernetes))
    (problem,) = refused.value.problems
    assert problem.path == f"modelyard:kubernetes.{path}"
    assert problem.found == found
    assert problem.do.startswith("write ")


@pytest.mark.parametrize(
    ("text", "beside"),
    [
        pytest.param(stack(), True, id="Karpenter makes nodes as pods ask for them"),
        pytest.param(existing(workspaces=(serving("replicas: 8", resource=""),)), True, id="a node is free"),
        pytest.param(existing(workspaces=(serving("replicas: 9", resource=""),)), False, id="none is free"),
        pytest.param(stack(serving(resource=""), nodes="existing"), False, id="nobody knows"),
        pytest.param(
            stack(nodes="gpu-provisioner"), False, id="gpu-provisioner makes as many as there are claims, and no more"
        ),
    ],
)
def test_new_replicas_are_beside_the_old_ones_where_nodes_are_free(text: str, beside: bool) -> None:
    found = planned(text)
    assert ("chat" in found.plan.beside) is beside


def test_a_free_node_is_not_promised_twice() -> None:
    served = tuple(serving("replicas: 4", name=name, resource="") for name in ("chat", "other"))
    found = planned(existing(workspaces=served))
    assert len(found.plan.beside) <= 1
