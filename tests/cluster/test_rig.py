"""The rig itself: what tests of the program rely on when they call it a cluster."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.cluster.rig.api import Api, ApiError, Json
from tests.cluster.rig.kubelet.settings import LABEL
from tests.cluster.rig.processes import is_alive
from tests.cluster.rig.rig import Rig
from tests.waiting import eventually

LONG = 60.0
"""Seconds: nothing takes so long, unless the machine is busy with other work."""

GPU_POOL = "gpu-test"
GPU_TAINT = {"key": "sku", "value": "gpu", "effect": "NoSchedule"}


def pod(
    namespace: str, name: str, *command: str, container: Json | None = None, labelled: bool = True, **spec: object
) -> Json:
    """A pod with one container, `main`, that runs a shell command."""
    labels = {"app": name} | ({LABEL: "test"} if labelled else {})
    main = {"name": "main", "image": "example/image:1", "command": ["sh", "-c", *command], **(container or {})}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"containers": [main], "restartPolicy": "Never", **spec},
    }


class Pods:
    """The pods of one test's namespace."""

    def __init__(self, rig: Rig, namespace: str) -> None:
        self.api, self.namespace = rig.api, namespace

    def run(self, name: str, *command: str, **more: object) -> None:
        self.api.apply(pod(self.namespace, name, *command, **more))  # type: ignore[arg-type]

    def path(self, name: str) -> str:
        return f"/api/v1/namespaces/{self.namespace}/pods/{name}"

    def get(self, name: str) -> Json:
        return self.api.get(self.path(name))

    def container(self, name: str) -> Json:
        """The status of its one container."""
        return (self.get(name)["status"].get("containerStatuses") or [{"state": {}}])[0]

    def phase(self, name: str) -> str:
        return self.get(name)["status"].get("phase", "")

    def is_ready(self, name: str) -> bool:
        return any(
            each["type"] == "Ready" and each["status"] == "True"
            for each in self.get(name)["status"].get("conditions") or []
        )

    def log(self, name: str, **query: object) -> str:
        return self.api.text(f"{self.path(name)}/log", query)

    def ends(self, name: str) -> str:
        """What a pod said that has run to its end."""
        eventually(lambda: self.phase(name) in ("Succeeded", "Failed"), LONG, f"{name} ends")
        return self.log(name)

    def events(self, name: str) -> list[Json]:
        query = {"fieldSelector": f"involvedObject.name={name}"}
        return self.api.items(f"/api/v1/namespaces/{self.namespace}/events", query)

    def waits_for(self, name: str, reason: str) -> Json:
        """The container's status, once it waits for this reason."""

        def look() -> Json:
            status = self.container(name)
            return status if status["state"].get("waiting", {}).get("reason") == reason else {}

        return eventually(look, LONG, f"{name} waits with {reason}")


@pytest.fixture
def pods(rig: Rig, namespace: str) -> Pods:
    return Pods(rig, namespace)


@pytest.fixture(scope="module")
def gpu_node(rig: Rig) -> Iterator[Json]:
    """A node that Karpenter has made for a pod, and that has none any more."""
    group = "karpenter.kwok.sh"
    kinds = {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["Standard_NC24ads_A100_v4"]}
    capacity = {"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["on-demand"]}
    template = {
        "metadata": {"labels": {"pool": GPU_POOL}},
        "spec": {
            "nodeClassRef": {"group": group, "kind": "KWOKNodeClass", "name": GPU_POOL},
            "taints": [GPU_TAINT],
            "requirements": [kinds, capacity],
        },
    }
    objects = [
        {"apiVersion": f"{group}/v1alpha1", "kind": "KWOKNodeClass", "metadata": {"name": GPU_POOL}},
        {
            "apiVersion": "karpenter.sh/v1",
            "kind": "NodePool",
            "metadata": {"name": GPU_POOL},
            "spec": {
                "template": template,
                "disruption": {"consolidationPolicy": "WhenEmpty", "consolidateAfter": "15s"},
            },
        },
    ]
    rig.api.apply(*objects)
    pods = Pods(rig, "default")
    pods.run(
        "gpu",
        "sleep 600",
        container={"resources": {"limits": {"nvidia.com/gpu": "1", "cpu": "2", "memory": "4Gi"}}},
        nodeSelector={"pool": GPU_POOL},
        tolerations=[GPU_TAINT],
    )
    eventually(lambda: pods.is_ready("gpu"), LONG, "the pod runs on a new node")
    node = rig.api.get(f"/api/v1/nodes/{pods.get('gpu')['spec']['nodeName']}")
    rig.api.delete(pods.path("gpu"))
    yield node
    for item in reversed(objects):
        rig.api.delete(rig.api.path_of(item))


def test_karpenter_makes_a_node_for_a_gpu(gpu_node: Json) -> None:
    assert gpu_node["status"]["allocatable"]["nvidia.com/gpu"] == "1"
    assert gpu_node["metadata"]["labels"]["node.kubernetes.io/instance-type"] == "Standard_NC24ads_A100_v4"


RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def test_a_pod_runs_as_its_user_on_a_read_only_root_and_writes_its_volumes(pods: Pods) -> None:
    mounts = [{"name": "scratch", "mountPath": "/scratch"}, {"name": "memory", "mountPath": "/memory"}]
    pods.run(
        "restricted",
        "id -u; id -g; id -G; grep NoNewPrivs /proc/self/status; touch /etc/x /tmp/x /root/x; "
        "touch /scratch/x && touch /memory/x && echo written; ls -l /scratch/x",
        container={"securityContext": RESTRICTED, "volumeMounts": mounts},
        securityContext={"runAsUser": 1000, "runAsGroup": 1000, "runAsNonRoot": True, "fsGroup": 2000},
        volumes=[{"name": "scratch", "emptyDir": {}}, {"name": "memory", "emptyDir": {"medium": "Memory"}}],
    )
    said = pods.ends("restricted")
    assert said.splitlines()[:3] == ["1000", "1000", "1000 2000"]
    assert "NoNewPrivs:\t1" in said
    assert said.count("Read-only file system") == 3, "something of the root can be written"
    assert "\nwritten\n" in said
    assert "ray  2000" in said or "1000 2000" in said, "files do not get the group that volumes are shared by"


def test_a_pod_that_may_not_be_root_is_not_started_as_root(pods: Pods) -> None:
    pods.run("root", "id", securityContext={"runAsNonRoot": True})
    status = pods.waits_for("root", "CreateContainerConfigError")
    assert status["state"]["waiting"]["message"] == "container has runAsNonRoot and image will run as root"


def test_a_pod_sees_nothing_of_the_checkout_but_what_it_mounts(pods: Pods) -> None:
    pods.run("python", "python -c 'import ray; print(ray.__version__)'; python -c 'import presets'; ls /root /home/*")
    said = pods.ends("python")
    assert said.startswith("2."), "python is not the serving environment's"
    assert "No module named 'presets'" in said, "an image without our packages would work here and nowhere else"


def test_a_container_that_keeps_ending_is_restarted_with_a_growing_delay(pods: Pods) -> None:
    pods.run("crash", 'echo "run $HOSTNAME"; date +%s%N; exit 3', restartPolicy="Always")
    status = pods.waits_for("crash", "CrashLoopBackOff")
    assert status["lastState"]["terminated"]["exitCode"] == 3
    assert status["lastState"]["terminated"]["reason"] == "Error"
    assert status["restartCount"] >= 1
    assert "restarting failed container=main" in status["state"]["waiting"]["message"]
    first = pods.log("crash", previous="true")
    eventually(lambda: pods.log("crash", previous="true") != first, LONG, "the previous log follows the restarts")
    assert {"BackOff", "Pulled", "Created", "Started"} <= {event["reason"] for event in pods.events("crash")}


def test_a_container_that_runs_out_of_memory_says_so(rig: Rig, pods: Pods) -> None:
    pods.run("oom", "sleep 600", restartPolicy="Always")
    eventually(lambda: pods.is_ready("oom"), LONG, "the pod runs")
    rig.kill_container(pods.namespace, "oom", "main", oom=True)
    last = eventually(lambda: pods.container("oom").get("lastState", {}).get("terminated"), LONG, "it ends")
    assert (last["reason"], last["exitCode"]) == ("OOMKilled", 137)


def test_an_image_that_does_not_exist_is_reported(pods: Pods) -> None:
    pods.run("noimage", "true", container={"image": "example/does-not-exist:1"})
    status = pods.waits_for("noimage", "ImagePullBackOff")
    assert "example/does-not-exist:1: not found" in status["state"]["waiting"]["message"]
    reasons = {(event["type"], event["reason"]) for event in pods.events("noimage")}
    assert {("Normal", "Scheduled"), ("Normal", "Pulling"), ("Warning", "Failed"), ("Normal", "BackOff")} <= reasons


def test_config_maps_and_secrets_are_files_and_follow_changes(pods: Pods) -> None:
    meta = {"name": "files", "namespace": pods.namespace}
    binary = base64.b64encode(b"\x00\xff\x01").decode()
    files = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": meta,
        "data": {"a": "old"},
        "binaryData": {"b": binary},
    }
    pods.api.apply(files, {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": {"key": "hush"}})
    pods.run(
        "reader",
        "od -An -tx1 /files/b; cat /one; stat -L -c %a /secret/sub/key; cat /secret/sub/key; echo $KEY; "
        "echo x > /files/a; until grep -q new /files/a; do sleep 0.1; done; echo changed",
        container={
            "env": [{"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "files", "key": "key"}}}],
            "volumeMounts": [
                {"name": "files", "mountPath": "/files"},
                {"name": "files", "mountPath": "/one", "subPath": "a"},
                {"name": "secret", "mountPath": "/secret"},
            ],
        },
        volumes=[
            {"name": "files", "configMap": {"name": "files"}},
            {
                "name": "secret",
                "secret": {"secretName": "files", "defaultMode": 0o400, "items": [{"key": "key", "path": "sub/key"}]},
            },
        ],
    )
    eventually(lambda: pods.container("reader")["state"].get("running"), LONG, "the pod runs")
    pods.api.apply({**files, "data": {"a": "new"}})
    said = pods.ends("reader")
    assert said.split("\n")[0].split() == ["00", "ff", "01"]
    assert "old400\nhushhush\n" in said
    assert "Read-only file system" in said
    assert said.endswith("changed\n")


def test_logs_are_read_through_the_api_server(pods: Pods) -> None:
    pods.run("talk", "for i in 1 2 3; do echo line $i; sleep 0.3; done")
    eventually(lambda: pods.container("talk")["state"].get("running"), LONG, "the pod runs")
    assert pods.log("talk", follow="true") == "line 1\nline 2\nline 3\n", "following ends before the container does"
    assert pods.log("talk", tailLines=1) == "line 3\n"
    with pytest.raises(ApiError, match="previous terminated container"):
        pods.log("talk", previous="true")


def test_a_service_is_reached_by_its_name_from_another_pod(pods: Pods) -> None:
    pods.run(
        "web",
        "echo hello > index.html; exec python3 -m http.server 8000",
        container={
            "workingDir": "/srv/web",
            "ports": [{"name": "http", "containerPort": 8000}],
            "readinessProbe": {"httpGet": {"port": "http", "path": "/index.html"}, "periodSeconds": 1},
        },
    )
    selector = {"app": "web"}
    ports = [{"port": 80, "targetPort": "http"}]
    for name, more in (("web", {}), ("headless", {"clusterIP": "None"})):
        pods.api.apply(
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": name, "namespace": pods.namespace},
                "spec": {"selector": selector, "ports": ports, **more},
            }
        )
    eventually(lambda: pods.is_ready("web"), LONG, "the readiness probe passes")
    pods.run(
        "caller",
        f"for url in http://web http://web.{pods.namespace}.svc.cluster.local http://headless:8000; do "
        "curl -sS --retry 20 --retry-delay 1 --retry-all-errors $url/index.html; done",
    )
    assert pods.ends("caller").count("hello\n") == 3


def test_a_claim_is_shared_by_pods_and_outlives_them(pods: Pods) -> None:
    claim = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
    meta = {"name": "shared", "namespace": pods.namespace}
    pods.api.apply({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": claim})
    volumes = [{"name": "claim", "persistentVolumeClaim": {"claimName": "shared"}}]
    mounts = [{"name": "claim", "mountPath": "/claim", "subPath": "weights"}]
    pods.run("writer", "echo weights > /claim/file", container={"volumeMounts": mounts}, volumes=volumes)
    pods.ends("writer")
    pods.api.delete(pods.path("writer"))
    read_only = [{**mounts[0], "readOnly": True}]
    pods.run("reader", "cat /claim/file; touch /claim/x", container={"volumeMounts": read_only}, volumes=volumes)
    said = pods.ends("reader")
    assert said.startswith("weights\n")
    assert "Read-only file system" in said


def test_an_init_container_and_a_sidecar_run_before_the_main_one(pods: Pods) -> None:
    mounts = [{"name": "work", "mountPath": "/work1"}]
    shell = {"image": "example/image:1", "volumeMounts": mounts}
    pods.run(
        "ordered",
        "cat /work1/init; cat /work1/sidecar",
        container={"volumeMounts": mounts},
        initContainers=[
            {**shell, "name": "init", "command": ["sh", "-c", "echo init > /work1/init"]},
            {
                **shell,
                "name": "sidecar",
                "restartPolicy": "Always",
                "command": ["sh", "-c", "sleep 0.5; echo sidecar > /work1/sidecar; sleep 600"],
                "startupProbe": {"exec": {"command": ["cat", "/work1/sidecar"]}, "periodSeconds": 1},
            },
        ],
        volumes=[{"name": "work", "emptyDir": {}}],
    )
    assert pods.ends("ordered") == "init\nsidecar\n"
    assert pods.phase("ordered") == "Succeeded", "a sidecar keeps its pod from ending"


def test_a_container_that_hangs_is_restarted_by_its_liveness_probe(pods: Pods) -> None:
    liveness = {"tcpSocket": {"port": 9}, "periodSeconds": 1, "failureThreshold": 2}
    pods.run("hangs", "sleep 600", restartPolicy="Always", container={"livenessProbe": liveness})
    eventually(lambda: pods.container("hangs").get("restartCount"), LONG, "it is restarted")
    said = {event["reason"]: event["message"] for event in pods.events("hangs")}
    assert "Liveness probe failed" in said["Unhealthy"]
    assert said["Killing"] == "Container main failed liveness probe, will be restarted"


def test_a_pod_has_its_service_accounts_token_unless_it_asks_for_none(pods: Pods) -> None:
    ask = (
        'cd /var/run/secrets/kubernetes.io/serviceaccount && curl -sS --cacert ca.crt -H "Authorization: Bearer '
        '$(cat token)" https://$KUBERNETES_SERVICE_HOST/apis/authentication.k8s.io/v1/selfsubjectreviews '
        '-X POST -H \'Content-Type: application/json\' -d \'{"kind": "SelfSubjectReview", '
        '"apiVersion": "authentication.k8s.io/v1"}\''
    )
    pods.run("asks", ask)
    user = json.loads(pods.ends("asks"))["status"]["userInfo"]
    assert user["username"] == f"system:serviceaccount:{pods.namespace}:default"
    pods.run("silent", "ls /var/run/secrets/kubernetes.io", automountServiceAccountToken=False)
    assert "No such file" in pods.ends("silent")


def test_a_job_and_a_deployment_run_as_processes_when_their_pods_are_labelled(pods: Pods) -> None:
    template = {"metadata": {"labels": {LABEL: "test", "app": "work"}}}
    container = {"name": "main", "image": "example/image:1"}
    job_pod = {"containers": [{**container, "command": ["false"]}], "restartPolicy": "Never"}
    meta = {"namespace": pods.namespace}
    pods.api.apply(
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {**meta, "name": "fails"},
            "spec": {"backoffLimit": 0, "template": {**template, "spec": job_pod}},
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {**meta, "name": "works"},
            "spec": {
                "replicas": 2,
                "selector": {"matchLabels": {"app": "work"}},
                "template": {**template, "spec": {"containers": [{**container, "command": ["sleep", "600"]}]}},
            },
        },
    )
    job = f"/apis/batch/v1/namespaces/{pods.namespace}/jobs/fails"
    deployment = f"/apis/apps/v1/namespaces/{pods.namespace}/deployments/works"
    eventually(lambda: pods.api.get(job)["status"].get("failed") == 1, LONG, "the job fails")
    eventually(lambda: pods.api.get(deployment)["status"].get("availableReplicas") == 2, LONG, "both replicas run")


def test_a_pod_without_the_label_is_played(pods: Pods) -> None:
    pods.run("played", "exit 1", labelled=False)
    eventually(lambda: pods.is_ready("played"), LONG, "KWOK calls it ready")
    assert pods.container("played")["state"].get("running"), "it ran in earnest"


def test_people_may_do_what_their_roles_say(rig: Rig, namespace: str) -> None:
    subjects = [{"kind": "Group", "name": "team", "apiGroup": "rbac.authorization.k8s.io"}]
    rig.api.apply(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "team", "namespace": namespace},
            "subjects": subjects,
            "roleRef": {"kind": "ClusterRole", "name": "edit", "apiGroup": "rbac.authorization.k8s.io"},
        }
    )
    member = Api.of(rig.kubeconfig("ann", ["team"]))
    assert member.items(f"/api/v1/namespaces/{namespace}/pods") == []
    with pytest.raises(ApiError, match='User "ann" cannot list resource "nodes"'):
        member.items("/api/v1/nodes")
    eventually(lambda: rig.api.find(f"/api/v1/namespaces/{namespace}/serviceaccounts/default"), LONG, "an account")
    account = Api.of(rig.account_kubeconfig(namespace))
    with pytest.raises(ApiError, match=f"system:serviceaccount:{namespace}:default"):
        account.items("/api/v1/nodes")
    for late in (
        rig.kubeconfig("ann", ["team"], lasts=timedelta(hours=-1)),
        rig.account_kubeconfig(namespace, lasts=timedelta(hours=-1)),
    ):
        with pytest.raises(ApiError) as refused:
            Api.of(late).items(f"/api/v1/namespaces/{namespace}/pods")
        assert refused.value.status == 401, "what has run out is not refused"


def test_pods_outlive_a_restart_of_the_api_server(rig: Rig, pods: Pods) -> None:
    pods.run("stays", "sleep 600", restartPolicy="Always")
    eventually(lambda: pods.is_ready("stays"), LONG, "the pod runs")
    before = rig.container_pid(pods.namespace, "stays", "main")
    rig.restart_api_server(down_seconds=1)
    pods.run("later", "echo later")
    assert pods.ends("later") == "later\n", "the kubelet does not come back to the API server"
    assert rig.container_pid(pods.namespace, "stays", "main") == before
    assert pods.container("stays")["restartCount"] == 0


def test_a_deleted_pod_ends_its_processes(rig: Rig, pods: Pods) -> None:
    pods.run("leaves", "trap 'echo bye; exit 0' TERM; while true; do sleep 0.1; done")
    eventually(lambda: pods.is_ready("leaves"), LONG, "the pod runs")
    process = rig.container_pid(pods.namespace, "leaves", "main")
    pods.api.delete(pods.path("leaves"))
    eventually(lambda: pods.api.find(pods.path("leaves")) is None, LONG, "the pod is gone")
    assert not is_alive(process)


def test_karpenter_removes_an_empty_node(rig: Rig, gpu_node: Json) -> None:
    path = f"/api/v1/nodes/{gpu_node['metadata']['name']}"  # the last test: it takes half a minute since the first one
    eventually(lambda: rig.api.find(path) is None, 120, "the empty node is removed")
