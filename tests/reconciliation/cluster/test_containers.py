"""What a user reads of a container that does not run."""

from __future__ import annotations

import pytest

from components.reconciliation.cluster.api import Json
from components.reconciliation.cluster.causes import cause_of
from tests.reconciliation.cluster.objects import IMAGE, RUNNING, container, ended, event, found, nodes, pod, waiting

HEAD = {"ray.io/node-type": "head"}
NOT_FOUND = f'failed to pull and unpack image "{IMAGE}": failed to resolve reference "{IMAGE}": {IMAGE}: not found'
DENIED = f'failed to resolve reference "{IMAGE}": failed to authorize: 401 Unauthorized'
SILENT = 'failed to do request: Head "https://registry.example.com/v2/": dial tcp: lookup registry.example.com: '
SILENT += "no such host"
BACKOFF = "back-off 40s restarting failed container=ray-worker pod=chat-worker-1_ml"


@pytest.mark.parametrize(
    ("status", "reason", "words", "way_out", "final"),
    [
        pytest.param(
            container(state=waiting("CrashLoopBackOff", BACKOFF), last=ended(137, "OOMKilled"), restarts=1),
            "ContainerOOMKilled",
            "killed for using more than its 16Gi of memory, 1 time before",
            "a size with more memory in resource.instanceType",
            False,
            id="killed for memory once",
        ),
        pytest.param(
            container(state=ended(137, "OOMKilled"), restarts=2),
            "ContainerOOMKilled",
            "2 times before",
            "resource.instanceType",
            True,
            id="killed for memory again and again",
        ),
        pytest.param(
            container(state=waiting("ErrImagePull", NOT_FOUND)),
            "ImagePullError",
            f"image {IMAGE} cannot be pulled",
            "check the name and the tag: modelyard:kubernetes.image",
            False,
            id="no such image, the first time",
        ),
        pytest.param(
            container(state=waiting("ImagePullBackOff", f'Back-off pulling image "{IMAGE}": ErrImagePull: {DENIED}')),
            "ImagePullError",
            "401 Unauthorized",
            "check the pull secrets: modelyard:kubernetes.image and imagePullSecrets",
            True,
            id="the registry refuses",
        ),
        pytest.param(
            container(state=waiting("ImagePullBackOff", f'Back-off pulling image "{IMAGE}": ErrImagePull: {SILENT}')),
            "ImagePullError",
            "no such host",
            "check that the nodes reach the registry",
            False,
            id="a registry that does not answer may answer later",
        ),
        pytest.param(
            container(state=waiting("InvalidImageName", "couldn't parse image name")),
            "ImagePullError",
            "couldn't parse image name",
            "check the name and the pull secrets",
            True,
            id="no image name at all",
        ),
        pytest.param(
            container(state=waiting("CreateContainerConfigError", 'secret "hf-token" not found')),
            "ContainerStartError",
            'CreateContainerConfigError: secret "hf-token" not found',
            "make Secret hf-token in namespace ml, or correct its name",
            True,
            id="a Secret that is not there",
        ),
        pytest.param(
            container(state=waiting("CreateContainerConfigError", "couldn't find key HF_TOKEN in Secret ml/hf-token")),
            "ContainerStartError",
            "couldn't find key HF_TOKEN",
            "make Secret hf-token in namespace ml",
            True,
            id="a Secret without the key",
        ),
        pytest.param(
            container(
                state=waiting("CrashLoopBackOff", BACKOFF),
                last=ended(128, "StartError", 'exec: "ray": executable file not found in $PATH'),
                restarts=1,
            ),
            "ContainerStartError",
            'cannot be started: StartError: exec: "ray": executable file not found in $PATH',
            "use an image that has the program: modelyard:kubernetes.image",
            False,
            id="an image of something else",
        ),
        pytest.param(
            container(state=waiting("CrashLoopBackOff", BACKOFF), last=ended(139), restarts=3),
            "ContainerCrashLoopBackOff",
            "ended with exit code 139 (SIGSEGV: a crash in native code), 3 times before",
            "kubectl -n ml logs chat-worker-1 -c ray-worker --previous",
            True,
            id="a crash that repeats itself",
        ),
        pytest.param(
            container(last=ended(1, message="ModuleNotFoundError: No module named 'vllm'"), restarts=1),
            "ContainerCrashLoopBackOff",
            "exit code 1, 1 time before: ModuleNotFoundError: No module named 'vllm'",
            "kubectl -n ml logs",
            False,
            id="it runs again after a crash",
        ),
    ],
)
def test_a_container(status: Json, reason: str, words: str, way_out: str, final: bool) -> None:
    cause = found(pod("chat-worker-1", status, limits={"memory": "16Gi"}))
    assert cause.reason == reason
    assert cause.message.startswith("container ray-worker of pod chat-worker-1")
    assert words in cause.message
    assert way_out in cause.message.rpartition("; ")[2], "no way out at the end"
    assert cause.final is final
    assert (cause.pod, cause.container) == ("chat-worker-1", "ray-worker"), "the caller cannot find the log"


def test_an_image_that_is_mounted_and_not_pulled_is_told_by_its_own_name() -> None:
    weights = "registry.example.com/phi:1"
    said = f'Back-off pulling image "{weights}": ErrImagePull: {DENIED.replace(IMAGE, weights)}'
    volumes = {"volumes": [{"name": "weights", "image": {"reference": weights}}]}
    cause = found(pod("chat-worker-1", container(state=waiting("ImagePullBackOff", said)), spec=volumes))
    assert cause.reason == "ImagePullError"
    assert f"image {weights} cannot be pulled" in cause.message
    assert cause.message.endswith("check the pull secrets: presetOptions.image and presetOptions.imagePullSecrets")


def test_a_container_runtime_that_mounts_no_images_is_told() -> None:
    said = 'failed to apply OCI options: failed to mkdir "": mkdir : no such file or directory'
    cause = found(pod("chat-worker-1", container(state=waiting("CreateContainerError", said))))
    assert cause.reason == "ContainerStartError"
    assert "set modelyard:kubernetes.imageVolumes: false" in cause.message


def test_the_log_is_asked_for_only_where_the_crash_left_no_words() -> None:
    silent = container(state=waiting("CrashLoopBackOff"), last=ended(1), restarts=1)
    talking = container(state=waiting("CrashLoopBackOff"), last=ended(1, message="ValueError: no"), restarts=1)
    assert found(pod("chat-worker-1", silent)).wants_log
    assert not found(pod("chat-worker-1", talking)).wants_log
    assert not found(pod("chat-worker-1", container(state=waiting("ErrImagePull")))).wants_log


def test_an_older_kubelet_tells_the_registrys_answer_in_an_event_only() -> None:
    mute = pod("chat-worker-1", container(state=waiting("ImagePullBackOff", f'Back-off pulling image "{IMAGE}"')))
    told = event("Failed", f'Failed to pull image "{IMAGE}": {DENIED}')
    assert "401 Unauthorized" in found(mute, events=(told,)).message


@pytest.mark.parametrize(
    ("statuses", "init", "words"),
    [
        ((), (container("code", ended(1), restarts=0),), "init container code of pod chat-0 ended with exit code 1;"),
        ((container("autoscaler", ended(2)),), (), "container autoscaler of pod chat-0 ended with exit code 2"),
        (
            (container("ray-head", waiting("PodInitializing")),),
            (container("proxy", waiting("CrashLoopBackOff"), last=ended(0, "Completed"), restarts=4),),
            "container proxy of pod chat-0 ended with exit code 0, 4 times before",
        ),
    ],
)
def test_every_kind_of_container_is_looked_at(statuses: tuple[Json, ...], init: tuple[Json, ...], words: str) -> None:
    assert words in found(pod("chat-0", *statuses, init=init)).message


def test_a_sidecar_is_called_one() -> None:
    crashed = pod(
        "chat-0",
        init=(container("proxy", ended(1)),),
        spec={"initContainers": [{"name": "proxy", "restartPolicy": "Always"}]},
    )
    assert found(crashed).message.startswith("sidecar proxy of pod chat-0")


def test_heads_memory_is_a_setting_of_its_own() -> None:
    head = pod("chat-head", container("ray-head", ended(137, "OOMKilled")), labels=HEAD)
    assert found(head).message.endswith("; raise modelyard:kubernetes.head.memory")


def test_a_container_that_is_never_started_again_is_not_waited_for() -> None:
    head = pod(
        "chat-head",
        container("ray-head", RUNNING, ready=True),
        container("autoscaler", ended(1)),
        phase="Running",
        spec={"restartPolicy": "Never"},
    )
    assert found(head).final
    assert "is not started again (restartPolicy Never)" in found(head).message


@pytest.mark.parametrize(
    "healthy",
    [
        pod("chat-0", container(state=RUNNING, ready=True, last=ended(137, "OOMKilled"), restarts=5), phase="Running"),
        pod("chat-0", container(state=RUNNING), phase="Running"),
        pod("chat-0", container(state=waiting("ContainerCreating"))),
        pod("chat-0", container(state=ended(0, "Completed")), phase="Succeeded"),
        pod("chat-0", node=""),
    ],
    ids=["recovered", "not ready yet", "starting", "completed", "not looked at by the scheduler yet"],
)
def test_what_only_needs_time_is_no_cause(healthy: Json) -> None:
    assert cause_of([healthy], nodes()) is None


def test_a_long_story_is_cut_but_keeps_its_way_out() -> None:
    long = container(state=waiting("CreateContainerConfigError", "x" * 2000))
    message = found(pod("chat-worker-1", long)).message
    assert "x" * 254 + " …" in message
    assert "x" * 255 not in message
    assert message.endswith("look at it with kubectl -n ml describe pod chat-worker-1")
