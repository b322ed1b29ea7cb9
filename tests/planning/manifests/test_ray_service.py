"""The RayService of a workspace: its pods, its Service, and what a change of the config makes of the running ones."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from components.planning.cluster_changes import cluster_changes
from components.planning.manifests.scope import DIGEST_ANNOTATION, Delivery
from components.planning.names import MAX_NAME
from components.planning.record import placed_record
from components.planning.render import canonical_json
from tests.planning.manifests.builders import (
    A100,
    DELIVERY,
    EIGHT_A100,
    IMAGE,
    container_of,
    environment_of,
    existing,
    head_of,
    mounts_of,
    planned,
    serving,
    stack,
    template,
    templates_of,
    worker_of,
)

LLAMA = serving(
    preset="name: llama-3.3-70b-instruct",
    inference="config: {maxContext: 8192}",
    resource="instanceType: Standard_NC96ads_A100_v4",
)
"""Two replicas with two GPUs each, on one node of four."""


def digest_of(text: str, *, delivery: Delivery = DELIVERY) -> str:
    return planned(text, delivery=delivery).one("RayService")["metadata"]["annotations"][DIGEST_ANNOTATION]


def application(text: str, *, beside: bool | None = None) -> dict[str, Any]:
    (found,) = json.loads(planned(text).one("RayService", beside=beside)["spec"]["serveConfigV2"])["applications"]
    return found


def told(before: str, after: str) -> str:
    """What a preview says of a change."""
    was, now = planned(before).plan, planned(after).plan
    deployed = {each.name: placed_record(each, was.target, "USD") for each in was.placed}
    return cluster_changes(now.placed, deployed, target=now.target, beside=now.beside)["chat"]


def test_the_head_has_no_gpu_and_runs_nothing_of_the_model() -> None:
    text = stack(kubernetes="head: {cpu: '2', memory: 8Gi}")
    group = planned(text).one("RayService")["spec"]["rayClusterConfig"]["headGroupSpec"]
    assert container_of(group["template"])["resources"] == {
        "requests": {"cpu": "2", "memory": "8Gi"},
        "limits": {"cpu": "2", "memory": "8Gi"},
    }
    assert group["rayStartParams"]["num-cpus"] == "0", "a replica would be put where no GPU is"
    assert "nodeSelector" not in group["template"]["spec"], "the head would keep a GPU node for itself"


def test_each_replica_has_a_worker_with_its_gpus_and_its_share_of_the_node() -> None:
    service = planned(stack(LLAMA)).one("RayService")
    (group,) = service["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    assert group["replicas"] == 2
    assert group["rayStartParams"]["num-gpus"] == "2"
    resources = container_of(group["template"])["resources"]
    assert resources["limits"] == {"nvidia.com/gpu": "2", "cpu": "36000m", "memory": "337920Mi"}, (
        "three quarters of the node's 96 vCPUs and 880 GiB, for two of its four GPUs"
    )
    assert resources["requests"] == resources["limits"]
    (deployment,) = application(stack(LLAMA))["deployments"]
    assert deployment["num_replicas"] == 2
    assert deployment["ray_actor_options"] == {"num_cpus": 1.0, "num_gpus": 2.0}


def test_workers_of_nodes_of_unknown_size_ask_for_gpus_alone() -> None:
    worker = worker_of(planned(existing(EIGHT_A100)).one("RayService"))
    assert container_of(worker)["resources"]["limits"] == {"nvidia.com/gpu": "1"}


EVERYTHING = stack(
    serving(
        inference="adapters: [{source: {name: a, volumeSource: {persistentVolumeClaim: {claimName: a}}}}]",
        preset="name: phi-4, presetOptions: {modelAccessSecret: hub}",
        more="loadBalancer: true",
    ),
    kubernetes="weights: {size: 100Gi}",
)


@pytest.mark.parametrize("text", [stack(), EVERYTHING], ids=["plain", "with volumes"])
def test_every_pod_passes_the_restricted_pod_security_standard(text: str) -> None:
    pods = [pod for manifest in planned(text).service() for pod in templates_of(manifest)]
    assert len(pods) >= 2
    for pod in pods:
        spec = pod["spec"]
        security = spec["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["runAsUser"] > 0
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
        kinds = {kind for volume in spec["volumes"] for kind in volume if kind != "name"}
        assert kinds <= {"configMap", "emptyDir", "persistentVolumeClaim", "secret"}
        containers = [*spec["initContainers"], *spec["containers"]]
        assert len(containers) == 2
        for container in containers:
            assert container["securityContext"]["allowPrivilegeEscalation"] is False, container["name"]
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}, container["name"]
            assert container["securityContext"]["readOnlyRootFilesystem"] is True, container["name"]
            assert "hostPort" not in str(container.get("ports")), container["name"]


def test_no_pod_has_a_token_of_the_api_server() -> None:
    found = planned(EVERYTHING).service()
    pods = [pod for manifest in found for pod in templates_of(manifest)]
    assert [pod["spec"]["automountServiceAccountToken"] for pod in pods] == [False] * len(pods)
    assert {pod["spec"]["serviceAccountName"] for pod in pods} == {"chat"}
    assert planned(EVERYTHING).one("ServiceAccount")["metadata"]["name"] == "chat"


def test_the_code_comes_from_the_config_map_and_the_image_stays_the_same() -> None:
    for pod in templates_of(planned(stack()).one("RayService")):
        (code,) = pod["spec"]["initContainers"]
        assert code["image"] == container_of(pod)["image"] == IMAGE
        assert code["command"][:4] == ["python", "-m", "zipfile", "-e"]
        volumes = {each["name"]: each for each in pod["spec"]["volumes"]}
        assert volumes["archive"]["configMap"] == {"name": "modelyard-code-c0de"}
        assert mounts_of(pod)["/opt/modelyard"] == {"emptyDir": {}, "readOnly": True}
        assert environment_of(pod)["PYTHONPATH"] == "/opt/modelyard"


def test_what_a_container_writes_is_a_volume() -> None:
    pod = worker_of(planned(stack()).one("RayService"))
    writable = {path for path, mount in mounts_of(pod).items() if not mount["readOnly"]}
    assert writable == {"/dev/shm", "/home/modelyard", "/models", "/tmp"}
    assert environment_of(pod)["HOME"] == "/home/modelyard"
    assert environment_of(pod)["MODELYARD_CACHE"] == "/models/cache"


def test_pods_have_time_to_finish_their_streams() -> None:
    (deployment,) = application(stack())["deployments"]
    for pod in templates_of(planned(stack()).one("RayService")):
        assert pod["spec"]["terminationGracePeriodSeconds"] > deployment["graceful_shutdown_timeout_s"]
        assert pod["metadata"]["annotations"]["karpenter.sh/do-not-disrupt"] == "true"


@pytest.mark.parametrize(("more", "kind"), [("", "ClusterIP"), ("loadBalancer: true", "LoadBalancer")])
def test_the_service_has_the_name_and_the_port_of_kaito_s(more: str, kind: str) -> None:
    service = planned(stack(serving(more))).one("RayService")["spec"]["serveService"]
    assert service["metadata"]["name"] == "chat"
    assert service["spec"]["type"] == kind
    assert service["spec"]["ports"] == [{"name": "serve", "port": 80, "protocol": "TCP", "targetPort": 8000}]


@pytest.mark.parametrize(("beside", "kind", "surge"), [(True, "NewCluster", 100), (False, "None", 0)])
def test_new_replicas_start_beside_the_old_ones_only_where_there_are_nodes(beside: bool, kind: str, surge: int) -> None:
    spec = planned(stack()).one("RayService", beside=beside)["spec"]
    assert spec["upgradeStrategy"] == {"type": kind}
    (deployment,) = application(stack(), beside=beside)["deployments"]
    assert deployment["max_surge_percent"] == surge


def test_existing_nodes_that_are_all_used_leave_no_place_beside() -> None:
    one, two = (existing(workspaces=(serving(f"replicas: {replicas}", resource=""),)) for replicas in (8, 16))
    assert planned(one).one("RayService")["spec"]["upgradeStrategy"] == {"type": "NewCluster"}
    assert planned(two).one("RayService")["spec"]["upgradeStrategy"] == {"type": "None"}


SAME_PODS = [
    pytest.param(serving("replicas: 2"), id="replicas"),
    pytest.param(serving(inference="config: {sampling: {temperature: 0.2}}"), id="sampling"),
    pytest.param(serving(inference="config: {maxWaitingRequests: 7}"), id="maxWaitingRequests"),
    pytest.param(serving(inference="config: {requestTimeoutSeconds: 7}"), id="requestTimeoutSeconds"),
    pytest.param(serving("loadBalancer: true"), id="loadBalancer"),
    pytest.param(serving("readyTimeoutSeconds: 60"), id="readyTimeoutSeconds"),
    pytest.param(serving(inference="adapters: [{source: {name: a, uri: 'hf:org/a'}}]"), id="adapters of the hub"),
    pytest.param(
        serving(inference="adapters: [{source: {name: a, image: 'r.example.com/a:1'}}]"), id="adapters of a registry"
    ),
]


@pytest.mark.parametrize("after", SAME_PODS)
def test_what_replicas_take_over_in_place_starts_no_pod_anew(after: str) -> None:
    before, now = planned(stack()).one("RayService"), planned(stack(after)).one("RayService")
    assert canonical_json(before) != canonical_json(now) or "readyTimeout" in after, "the change is lost"
    assert digest_of(stack()) == digest_of(stack(after))


OTHER_PODS = [
    pytest.param(stack(serving(preset="name: phi-4, presetOptions: {image: 'r.example.com/w:1'}")), id="weights image"),
    pytest.param(
        stack(serving(resource=f"instanceType: {A100}, labelSelector: {{matchLabels: {{a: b}}}}")), id="labelSelector"
    ),
    pytest.param(stack(kubernetes="imagePullSecrets: [pull]"), id="imagePullSecrets"),
    pytest.param(stack(kubernetes="head: {memory: 8Gi}"), id="head"),
    pytest.param(stack(kubernetes="weights: {claim: models}"), id="weights"),
    pytest.param(stack(kubernetes="priorityClass: models"), id="priorityClass"),
]


@pytest.mark.parametrize("after", OTHER_PODS)
def test_other_pods_are_told_from_those_that_run(after: str) -> None:
    assert digest_of(stack()) != digest_of(after)


def test_new_code_and_a_new_ray_are_other_pods() -> None:
    code = Delivery(digest="beef", archive="", ray_version="2.60.0")
    ray = Delivery(digest="c0de", archive="", ray_version="2.61.0")
    assert len({digest_of(stack()), digest_of(stack(), delivery=code), digest_of(stack(), delivery=ray)}) == 3


@pytest.mark.parametrize(
    "resource",
    [
        "instanceType: Standard_NC48ads_A100_v4",
        f"instanceType: {A100}, spot: true",
        f"instanceType: {A100}, nodeClass: fast",
    ],
)
def test_what_the_preview_calls_new_nodes_are_other_pods(resource: str) -> None:
    assert digest_of(stack(serving("replicas: 1"))) != digest_of(stack(serving("replicas: 1", resource=resource)))


def test_the_preview_says_that_karpenter_is_not_told_the_image_family() -> None:
    after = planned(stack(serving(resource=f"instanceType: {A100}, imageFamily: azurelinux")))
    assert any("resource.imageFamily is ignored" in warning for warning in after.plan.warnings)


MOUNTED = "adapters: [{source: {name: a, volumeSource: {persistentVolumeClaim: {claimName: a}}}}]"
TOLD_OF = [
    *OTHER_PODS,
    pytest.param(stack(kubernetes="namespace: other"), id="namespace"),
    pytest.param(stack(kubernetes="nodeClassRef: {group: example.com, kind: Nodes}"), id="nodeClassRef"),
    pytest.param(stack(nodes="gpu-provisioner"), id="who makes the nodes"),
    pytest.param(stack(serving(preset="name: phi-4, presetOptions: {modelAccessSecret: hub}")), id="modelAccessSecret"),
    pytest.param(stack(serving(inference=MOUNTED)), id="an adapter of a volume"),
    pytest.param(stack(kubernetes="environment: {HF_ENDPOINT: 'https://mirror.example.com'}"), id="environment"),
    pytest.param(stack().replace("serving:1", "serving:2"), id="image"),
]


@pytest.mark.parametrize("after", TOLD_OF)
def test_a_preview_tells_of_whatever_replaces_the_pods(after: str) -> None:
    assert digest_of(stack()) != digest_of(after)
    said = told(stack(), after)
    assert "new replicas" in said or "new nodes and replicas" in said, said


def test_of_a_template_another_namespace_is_told_of_and_new_code_is_not() -> None:
    assert "new namespace → new nodes and replicas" in told(
        stack(template()), stack(template(), kubernetes="namespace: a")
    )
    assert told(stack(template()), stack(template())) == "no change"
    (placed,) = planned(stack(template())).plan.placed
    assert "serving code" not in placed.pods, "its pods have none of it"


@pytest.mark.parametrize(("engine", "replaces"), [("transformers", False), ("vllm", True)])
def test_a_preview_tells_whether_an_adapter_that_is_added_replaces_the_replicas(engine: str, replaces: bool) -> None:
    adapters = [f"{{source: {{name: {name}, uri: 'hf:org/{name}'}}}}" for name in "ab"]
    one, two = (
        stack(serving(f"engine: {engine}", inference=f"adapters: [{', '.join(adapters[:count])}]")) for count in (1, 2)
    )
    assert (application(one)["args"] != application(two)["args"]) is replaces, "Ray Serve replaces for other arguments"
    assert ("new replicas" in told(one, two)) is replaces


ADAPTERS = [
    "{source: {name: polite, uri: 'hf:org/polite'}}",
    "{source: {name: pirate, volumeSource: {persistentVolumeClaim: {claimName: pirate}}}}",
    "{source: {name: poet, volumeSource: {persistentVolumeClaim: {claimName: poet}}}}",
]


@pytest.mark.parametrize("seed", range(4))
def test_the_same_plan_is_the_same_bytes_in_whatever_order_it_is_written(seed: int) -> None:
    def written(shuffled: random.Random) -> str:
        adapters = shuffled.sample(ADAPTERS, len(ADAPTERS))
        chat = serving(inference=f"adapters: [{', '.join(adapters)}]")
        listed = [chat, serving(name="other"), template().replace("name: chat", "name: web", 1)]
        return stack(*shuffled.sample(listed, len(listed)))

    first, again = (planned(written(random.Random(number))) for number in (100, seed))
    assert first.workspace().pods == again.workspace().pods, "the preview would tell of new replicas"
    assert [canonical_json(each) for each in first.everything()] == [
        canonical_json(each) for each in again.everything()
    ]


def test_the_serve_config_is_canonical_since_kuberay_compares_it_as_text() -> None:
    text = planned(stack()).one("RayService")["spec"]["serveConfigV2"]
    assert text == canonical_json(json.loads(text))


def test_a_workspace_has_the_whole_host_to_itself() -> None:
    found = application(stack())
    assert (found["name"], found["route_prefix"]) == ("chat", "/")
    config = json.loads(planned(stack()).one("RayService")["spec"]["serveConfigV2"])
    assert config["http_options"] == {"host": "0.0.0.0", "port": 8000}
    assert config["proxy_location"] == "EveryNode", "the Service reaches workers, and so proxies in their pods"
    ports = {
        each["name"]: each["containerPort"]
        for each in container_of(head_of(planned(stack()).one("RayService")))["ports"]
    }
    assert ports["serve"] == config["http_options"]["port"]
    assert ports["dashboard"] == 8265


def test_the_longest_name_is_one_that_kuberay_takes() -> None:
    name = "w" * MAX_NAME
    rendered = planned(stack(serving(name=name), kubernetes="weights: {claim: models}"))
    (job,) = rendered.kinds("Job", name)
    assert len(rendered.one("RayService", name)["metadata"]["name"]) <= 47, "RayService; it adds -xxxxx for its cluster"
    assert len(f"{name}-xxxxx") <= 53, "RayCluster; it adds -head-svc for its Service"
    assert len(job["metadata"]["name"]) <= 63, "the name of a Job is a label of its pods"
    assert max(len(port["name"]) for port in container_of(head_of(rendered.one("RayService", name)))["ports"]) <= 15
