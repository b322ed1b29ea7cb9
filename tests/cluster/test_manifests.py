"""Every manifest that is rendered, checked by a real API server: no unknown field, and pods that nothing objects to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from components.planning.local_sizing import Machine
from components.planning.manifests.scope import Delivery, Manifest, Scope
from components.planning.manifests.stack import namespace_owner, stack_manifests
from components.planning.manifests.workspace import workspace_manifests
from components.planning.plan import decide
from components.planning.spec import raw_config
from components.reconciliation.cluster import mirror
from components.reconciliation.cluster.api import ClusterApi, Login
from tests.cluster.rig.api import ApiError, Json
from tests.cluster.rig.rig import Rig
from tests.cluster.test_nodes import LABELS
from tests.cluster.yard import A100, IMAGE, KWOK_CLASS

pytestmark = pytest.mark.cluster

ADAPTERS = [
    {"source": {"name": "image", "image": "registry.example.com/a:1", "imagePullSecrets": ["login"]}},
    {"source": {"name": "volume", "volumeSource": {"persistentVolumeClaim": {"claimName": "adapters"}}}},
    {"source": {"name": "hub", "uri": "hf:org/adapter"}},
]
OPTIONS = {"modelAccessSecret": "hub", "imagePullSecrets": ["login"], "image": "registry.example.com/weights:1"}
TEMPLATE = {"spec": {"containers": [{"name": "own", "image": "registry.example.com/own:1"}]}}
KUBERNETES: list[Json] = [
    {"nodes": "karpenter", "nodeClassRef": KWOK_CLASS, "weights": {"size": "100Gi", "storageClass": "rig"}},
    {"nodes": "gpu-provisioner", "weights": {"claim": "models"}, "priorityClass": "system-cluster-critical"},
    {
        "nodes": "karpenter",
        "expose": {"domain": "llm.example.com", "ingress": {"className": "nginx", "tlsSecret": "t"}},
    },
    {"nodes": "existing", "existing": [{"labels": LABELS, "count": 8}], "environment": {"HF_ENDPOINT": "https://hub"}},
]


def manifests(kubernetes: Json, namespace: str) -> Iterator[Manifest]:
    """Of a stack with every kind of workspace, in this namespace."""
    made = kubernetes["nodes"] != "existing"
    resource: Json = {"instanceType": A100} if made else {}
    preset = {"name": "phi-4-mini-instruct"}
    workspaces: list[Json] = [
        {"name": "plain", "inference": {"preset": preset}, "loadBalancer": True},
        {"name": "two", "inference": {"preset": preset}, "replicas": 2},
        {"name": "full", "inference": {"preset": {**preset, "presetOptions": OPTIONS}, "adapters": ADAPTERS}},
        {"name": "own", "inference": {"template": TEMPLATE}},
    ]
    for workspace in workspaces:
        workspace["resource"] = resource
    values: dict[str, object] = {
        "target": "kubernetes",
        "workspaces": workspaces,
        "kubernetes": {**kubernetes, "image": IMAGE, "imagePullSecrets": ["registry"]},
    }
    machine = Machine(cpus=2, memory_bytes=2**34)
    plan = decide(raw_config(values), machine, stack_file="Pulumi.test.yaml", code_version="c0de")
    code = Delivery(digest="c0de", archive="UEsFBgAAAAAAAAAAAAAAAAAAAAAAAA==", ray_version="2.60.0")
    scope = Scope(stack="test", namespace=namespace, spec=plan.kubernetes, delivery=code)
    yield from (namespace_owner(scope), *stack_manifests(scope))
    for each in plan.placed:
        rendered = workspace_manifests(each, scope, beside=True)
        yield from (*rendered.nodes, *rendered.service)


@pytest.mark.parametrize("kubernetes", KUBERNETES, ids=lambda each: f"{each['nodes']}-{sorted(each)[0]}")
def test_the_api_server_knows_every_field(kubernetes: dict[str, Any], rig: Rig, namespace: str) -> None:
    for manifest in manifests(kubernetes, namespace):
        rig.api.check(manifest)


def test_pods_pass_the_restricted_pod_security_standard(rig: Rig, namespace: str) -> None:
    enforced = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    rig.api.merge(f"/api/v1/namespaces/{namespace}", enforced)
    tried: list[str] = []
    for kubernetes in KUBERNETES:
        for manifest in manifests(kubernetes, namespace):
            for name, template in templates(manifest):
                rig.api.check(pod_of(name, template, namespace))
                tried.append(name)
    assert {"plain-head", "plain-worker", "plain-weights"} <= set(tried), tried
    wrong = pod_of("wrong", {"spec": {"containers": [{"name": "c", "image": "i"}]}}, namespace)
    with pytest.raises(ApiError, match="violates PodSecurity"):
        rig.api.check(wrong)


def templates(manifest: Manifest) -> Iterator[tuple[str, Json]]:
    """Pod templates of our own in a manifest; a user's template is the user's."""
    name = manifest["metadata"]["name"]
    if manifest["kind"] == "RayService":
        cluster = manifest["spec"]["rayClusterConfig"]
        yield f"{name}-head", cluster["headGroupSpec"]["template"]
        yield from ((f"{name}-worker", group["template"]) for group in cluster["workerGroupSpecs"])
    elif manifest["kind"] == "Job":
        yield f"{manifest['metadata']['labels']['app.kubernetes.io/name']}-weights", manifest["spec"]["template"]


def pod_of(name: str, template: Json, namespace: str) -> Json:
    spec = {**template["spec"]}
    spec.pop("serviceAccountName", None)  # admission looks for it, and it comes with the stack
    spec.pop("priorityClassName", None)
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace}, "spec": spec}


def test_our_own_kind_and_permissions_are_accepted(rig: Rig) -> None:
    api = ClusterApi(Login(kubeconfig=str(rig.admin)))
    assert mirror.ensure_kind(api) == ""
    assert mirror.ensure_kind(api) == "", "it is there already"
