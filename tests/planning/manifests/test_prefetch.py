"""The Job that brings a model's weights to the stack's volume, once for all replicas."""

from __future__ import annotations

from typing import Any

import pytest

from components.planning.manifests.scope import Delivery
from tests.planning.manifests.builders import (
    DELIVERY,
    container_of,
    environment_of,
    existing,
    mounts_of,
    planned,
    serving,
    stack,
    template,
    worker_of,
)

SHARED = "weights: {claim: models}"


def job_of(*workspaces: str, kubernetes: str = SHARED, delivery: Delivery = DELIVERY) -> dict[str, Any]:
    return planned(stack(*workspaces, kubernetes=kubernetes), delivery=delivery).one("Job")


def test_the_weights_are_fetched_once_beside_the_nodes() -> None:
    found = planned(stack(kubernetes=SHARED))
    pod = found.one("Job")["spec"]["template"]
    worker = worker_of(found.one("RayService"))
    assert container_of(pod)["command"][:3] == ["python", "-m", "serving.weights"]
    assert container_of(pod)["command"][3].startswith("hf:microsoft/phi-4@"), "another revision than the replicas'"
    assert mounts_of(pod)["/models"] == mounts_of(worker)["/models"]
    assert environment_of(pod)["MODELYARD_CACHE"] == environment_of(worker)["MODELYARD_CACHE"]


def test_the_source_is_the_one_that_replicas_read() -> None:
    mirrored = serving(preset="name: phi-4, presetOptions: {weights: 'hf:org/mirror'}")
    found = planned(stack(mirrored, kubernetes=SHARED))
    source = container_of(found.one("Job")["spec"]["template"])["command"][3]
    assert source.startswith("hf:org/mirror")
    assert f'"weights":"{source}"' in found.one("RayService")["spec"]["serveConfigV2"]


@pytest.mark.parametrize(
    ("options", "kubernetes"),
    [("weights: 'oci:r.example.com/w:1'", SHARED), ("image: 'r.example.com/w:1'", f"{SHARED}, imageVolumes: false")],
)
def test_a_registry_s_model_is_fetched_as_any_other(options: str, kubernetes: str) -> None:
    preset = f"name: phi-4, presetOptions: {{{options}, imagePullSecrets: [pull]}}"
    pod = job_of(serving(preset=preset), kubernetes=kubernetes)["spec"]["template"]
    assert container_of(pod)["command"][3] == "oci:r.example.com/w:1"
    assert environment_of(pod)["DOCKER_CONFIG"] == "/var/run/registry"
    assert mounts_of(pod)["/var/run/registry"]["secret"]["secretName"] == "pull"


def test_it_waits_for_no_gpu() -> None:
    pod = job_of()["spec"]["template"]
    assert "nvidia" not in str(container_of(pod)["resources"])
    assert "nodeSelector" not in pod["spec"]


def test_it_has_the_token_and_the_code_of_the_replicas() -> None:
    pod = job_of(serving(preset="name: phi-4, presetOptions: {modelAccessSecret: hub}"))["spec"]["template"]
    assert environment_of(pod)["HF_TOKEN"] == {"secretKeyRef": {"name": "hub", "key": "HF_TOKEN"}}
    assert [each["name"] for each in pod["spec"]["initContainers"]] == ["code"]
    assert pod["spec"]["automountServiceAccountToken"] is False


def test_it_is_tried_again_a_few_times() -> None:
    spec = job_of()["spec"]
    assert spec["template"]["spec"]["restartPolicy"] == "Never", "the log of a failed try would be lost"
    assert spec["backoffLimit"] == 3


@pytest.mark.parametrize(
    ("workspace", "kubernetes"),
    [
        pytest.param(serving(), "", id="each pod keeps its own"),
        pytest.param(serving(), "weights: {hostPath: /mnt/nvme}", id="each node keeps its own"),
        pytest.param(
            serving(preset="name: phi-4, presetOptions: {weights: 'file:/models/phi-4'}"), SHARED, id="there already"
        ),
        pytest.param(serving(preset="name: phi-4, presetOptions: {image: 'r.example.com/w:1'}"), SHARED, id="an image"),
        pytest.param(template(), SHARED, id="a pod template"),
    ],
)
def test_nothing_is_fetched_in_vain(workspace: str, kubernetes: str) -> None:
    assert planned(stack(workspace, kubernetes=kubernetes)).kinds("Job") == []


def test_a_volume_on_existing_nodes_is_filled_too() -> None:
    assert len(planned(existing(kubernetes=SHARED)).kinds("Job")) == 1


@pytest.mark.parametrize(
    ("workspace", "kubernetes", "delivery"),
    [
        pytest.param(
            serving(preset="name: phi-4, presetOptions: {weights: 'hf:org/mirror'}"), SHARED, DELIVERY, id="source"
        ),
        pytest.param(serving(), SHARED, Delivery(digest="beef", archive="", ray_version="2.60.0"), id="code"),
    ],
)
def test_another_job_is_another_name_since_its_template_cannot_be_changed(
    workspace: str, kubernetes: str, delivery: Delivery
) -> None:
    other = job_of(workspace, kubernetes=kubernetes, delivery=delivery)
    assert other["metadata"]["name"] != job_of()["metadata"]["name"]


def test_replicas_change_nothing_of_it() -> None:
    assert job_of(serving("replicas: 3")) == job_of()
