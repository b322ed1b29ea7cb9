"""What a user reads of a pod whose volumes are not there."""

from __future__ import annotations

import pytest

from components.reconciliation.cluster.api import Json
from components.reconciliation.cluster.causes import cause_of
from tests.reconciliation.cluster.objects import RUNNING, container, event, found, nodes, pending, pod, waiting


@pytest.mark.parametrize(
    ("message", "words", "way_out", "final"),
    [
        (
            'MountVolume.SetUp failed for volume "token" : secret "hf-token" not found',
            'cannot mount volume token: Secret "hf-token" is not there',
            "make it in namespace ml, or correct its name",
            True,
        ),
        (
            "Unable to attach or mount volumes: unmounted volumes=[weights], unattached volumes=[], failed to process "
            "volumes=[weights]: error processing PVC ml/models: failed to fetch PVC from API server: "
            'persistentvolumeclaims "models" not found',
            'cannot mount volume weights (PersistentVolumeClaim models): PersistentVolumeClaim "models" is not there',
            "make it in namespace ml",
            True,
        ),
        (
            "unmounted volumes=[weights], unattached volumes=[], failed to process volumes=[weights]: error processing "
            "PVC ml/models: PVC is not bound",
            "PersistentVolumeClaim ml/models has no volume yet",
            "check its storage class with kubectl describe pvc",
            False,
        ),
        (
            'Multi-Attach error for volume "pvc-1" Volume is already used by pod(s) chat-worker-0',
            "another node holds it",
            "use a claim that is ReadWriteMany: modelyard:kubernetes.weights",
            False,
        ),
    ],
)
def test_a_volume_that_cannot_be_mounted(message: str, words: str, way_out: str, final: bool) -> None:
    claims = {"volumes": [{"name": "weights", "persistentVolumeClaim": {"claimName": "models"}}]}
    starting = pod("chat-worker-1", container(state=waiting("ContainerCreating")), spec=claims)
    cause = found(starting, events=(event("FailedMount", message),))
    assert cause.reason == "VolumeMountFailed"
    assert words in cause.message
    assert way_out in cause.message
    assert cause.final is final


def test_mount_troubles_of_the_first_seconds_and_of_running_pods_are_no_cause() -> None:
    hiccup = event(
        "FailedMount", 'MountVolume.SetUp failed for volume "token" : failed to sync secret cache: timed out'
    )
    real = event("FailedMount", 'MountVolume.SetUp failed for volume "token" : secret "hf-token" not found')
    starting = pod("chat-worker-1", container(state=waiting("ContainerCreating")))
    running = pod("chat-worker-1", container(state=RUNNING), phase="Running")
    assert cause_of([starting], nodes(), [hiccup]) is None
    assert cause_of([running], nodes(), [real]) is None
    assert cause_of([pod("chat-worker-2")], nodes(), [real]) is None, "another pod's event"


@pytest.mark.parametrize(
    ("message", "words", "final"),
    [
        ('0/3 nodes are available: persistentvolumeclaim "models" not found.', '"models" is not there; make it', True),
        (
            "0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims.",
            'storageclass "fast" not found',
            False,
        ),
    ],
)
def test_a_claim_without_a_volume_keeps_a_pod_from_every_node(message: str, words: str, final: bool) -> None:
    waits = pending(message, volumes=[{"name": "weights", "persistentVolumeClaim": {"claimName": "models"}}])
    told = event("ProvisioningFailed", 'storageclass "fast" not found', "models", kind="PersistentVolumeClaim")
    cause = found(waits, events=(told,))
    assert cause.reason == "VolumeMountFailed"
    assert words in cause.message
    assert cause.final is final


WEIGHTS = "registry.example.com/phi:1"
ASKED = {"modelyard.dev/weights-image": WEIGHTS}


@pytest.mark.parametrize(
    "volumes",
    [
        pytest.param([], id="the feature is off: a real API server that emulates 1.34 leaves volume and mounts out"),
        pytest.param([{"name": "weights", "emptyDir": {}}], id="the field is not known"),
    ],
)
def test_an_image_that_the_cluster_left_out_in_silence_is_told(volumes: list[Json]) -> None:
    starting = pod("chat-worker-1", container(state=RUNNING), phase="Running", spec={"volumes": volumes})
    starting["metadata"]["annotations"] = ASKED
    cause = found(starting)
    assert cause.reason == "VolumeMountFailed"
    assert f"without the image {WEIGHTS} that carries its weights" in cause.message
    assert "set modelyard:kubernetes.imageVolumes: false" in cause.message
    assert cause.final


def test_an_image_that_is_mounted_is_no_cause() -> None:
    volumes = [{"name": "weights", "image": {"reference": WEIGHTS, "pullPolicy": "IfNotPresent"}}]
    running = pod("chat-worker-1", container(state=RUNNING), phase="Running", spec={"volumes": volumes})
    running["metadata"]["annotations"] = ASKED
    assert cause_of([running], nodes()) is None
