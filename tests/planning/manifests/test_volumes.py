"""Where pods find weights and adapters, and with whose login they fetch them."""

from __future__ import annotations

from typing import Any

import pytest

from components.planning.errors import SpecError
from components.planning.manifests.stack import stack_manifests
from tests.planning.manifests.builders import (
    Planned,
    environment_of,
    head_of,
    mounts_of,
    planned,
    serving,
    stack,
    worker_of,
)


def worker(*workspaces: str, kubernetes: str = "") -> dict[str, Any]:
    return worker_of(planned(stack(*workspaces, kubernetes=kubernetes)).one("RayService"))


def claims_of(found: Planned) -> list[dict[str, Any]]:
    return [each for each in stack_manifests(found.scope) if each["kind"] == "PersistentVolumeClaim"]


def adapters(*sources: str) -> str:
    return serving(inference=f"adapters: [{', '.join(f'{{source: {{{source}}}}}' for source in sources)}]")


@pytest.mark.parametrize(
    ("weights", "volume"),
    [
        pytest.param("", {"emptyDir": {}}, id="nothing: gone with the pod"),
        pytest.param("{claim: models}", {"persistentVolumeClaim": {"claimName": "models"}}, id="a claim that is there"),
        pytest.param(
            "{size: 500Gi}", {"persistentVolumeClaim": {"claimName": "modelyard-weights"}}, id="a claim that is made"
        ),
        pytest.param(
            "{hostPath: /mnt/nvme}", {"hostPath": {"path": "/mnt/nvme", "type": "Directory"}}, id="nodes' disks"
        ),
    ],
)
def test_weights_lie_where_the_stack_says(weights: str, volume: dict[str, Any]) -> None:
    pod = worker(kubernetes=f"weights: {weights}" if weights else "")
    assert mounts_of(pod)["/models"] == {**volume, "readOnly": False}
    assert environment_of(pod)["MODELYARD_CACHE"].startswith("/models/"), "what is fetched would not be kept"


def test_a_claim_is_made_only_where_a_size_is_given() -> None:
    (made,) = claims_of(planned(stack(kubernetes="weights: {size: 500Gi, storageClass: files}")))
    assert made["metadata"]["name"] == "modelyard-weights"
    assert made["spec"] == {
        "accessModes": ["ReadWriteMany"],
        "resources": {"requests": {"storage": "500Gi"}},
        "storageClassName": "files",
    }
    (plain,) = claims_of(planned(stack(kubernetes="weights: {size: 500Gi}")))
    assert "storageClassName" not in plain["spec"], '"" would mean: no class at all'
    for weights in ("", "weights: {claim: models}", "weights: {hostPath: /mnt}"):
        assert claims_of(planned(stack(kubernetes=weights))) == []


@pytest.mark.parametrize(
    ("weights", "found"),
    [
        ("{}", "none of them"),
        ("{claim: a, size: 1Gi}", "claim and size"),
        ("{hostPath: /mnt, storageClass: files}", "hostPath"),
    ],
)
def test_a_volume_that_is_several_things_is_refused(weights: str, found: str) -> None:
    with pytest.raises(SpecError) as refused:
        planned(stack(kubernetes=f"weights: {weights}"))
    (problem,) = refused.value.problems
    assert problem.path == "modelyard:kubernetes.weights"
    assert problem.found == found
    assert "hostPath for the nodes' own disk" in problem.do


def test_the_hub_s_token_is_read_from_its_secret_by_the_pods_alone() -> None:
    service = planned(stack(serving(preset="name: phi-4, presetOptions: {modelAccessSecret: hub}"))).one("RayService")
    for pod in (head_of(service), worker_of(service)):
        assert environment_of(pod)["HF_TOKEN"] == {"secretKeyRef": {"name": "hub", "key": "HF_TOKEN"}}
    assert "HF_TOKEN" not in environment_of(worker())


def test_an_image_that_carries_the_weights_is_mounted_and_read_where_it_lies() -> None:
    options = "{image: 'registry.example.com/phi:1', imagePullSecrets: [models, stack]}"
    text = stack(serving(preset=f"name: phi-4, presetOptions: {options}"), kubernetes="imagePullSecrets: [stack]")
    service = planned(text).one("RayService")
    pod = worker_of(service)
    image = {"reference": "registry.example.com/phi:1", "pullPolicy": "IfNotPresent"}
    assert mounts_of(pod)["/weights"] == {"image": image, "readOnly": True}
    assert pod["spec"]["imagePullSecrets"] == [{"name": "stack"}, {"name": "models"}]
    assert '"weights":"file:/weights"' in service["spec"]["serveConfigV2"]

    assert pod["metadata"]["annotations"]["modelyard.dev/weights-image"] == "registry.example.com/phi:1"
    assert "DOCKER_CONFIG" not in environment_of(pod), "the kubelet logs in, and nobody else"


LOGIN = {
    "secret": {"secretName": "models", "items": [{"key": ".dockerconfigjson", "path": "config.json"}]},
    "readOnly": True,
}


@pytest.mark.parametrize(
    ("options", "kubernetes"),
    [
        pytest.param("weights: 'oci:registry.example.com/phi:1'", "", id="weights from a registry"),
        pytest.param(
            "image: 'registry.example.com/phi:1'", "imageVolumes: false", id="an image that cannot be mounted"
        ),
    ],
)
def test_weights_of_a_registry_are_fetched_with_the_login_that_is_named(options: str, kubernetes: str) -> None:
    preset = f"name: phi-4, presetOptions: {{{options}, imagePullSecrets: [models]}}"
    service = planned(stack(serving(preset=preset), kubernetes=kubernetes)).one("RayService")
    for pod in (head_of(service), worker_of(service)):
        assert mounts_of(pod)["/var/run/registry"] == LOGIN
        assert environment_of(pod)["DOCKER_CONFIG"] == "/var/run/registry"
        assert "/weights" not in mounts_of(pod)
        assert "modelyard.dev/weights-image" not in pod["metadata"]["annotations"]
        assert "imagePullSecrets" not in pod["spec"], "the kubelet pulls nothing with it"
    assert '"weights":"oci:registry.example.com/phi:1"' in service["spec"]["serveConfigV2"]


def test_an_adapter_of_a_volume_is_mounted_where_the_engine_looks_for_it() -> None:
    text = stack(adapters("name: polite, volumeSource: {persistentVolumeClaim: {claimName: data}}"))
    service = planned(text).one("RayService")
    claim = {"persistentVolumeClaim": {"claimName": "data"}, "readOnly": True}
    assert mounts_of(worker_of(service))["/adapters/polite"] == claim
    assert '"source":"file:/adapters/polite"' in service["spec"]["serveConfigV2"]


def test_a_directory_of_the_node_is_mounted_too_since_pods_do_not_see_it() -> None:
    service = planned(stack(adapters("name: a, volumeSource: {hostPath: {path: /data/a}}"))).one("RayService")
    assert mounts_of(worker_of(service))["/adapters/a"] == {"hostPath": {"path": "/data/a"}, "readOnly": True}
    assert '"source":"file:/adapters/a"' in service["spec"]["serveConfigV2"]


def test_adapters_of_the_hub_and_of_a_registry_need_no_volume() -> None:
    text = stack(adapters("name: a, uri: 'hf:org/a'", "name: b, image: 'registry.example.com/b:1'"))
    pod = worker_of(planned(text).one("RayService"))
    assert mounts_of(pod) == mounts_of(worker())


def test_the_login_of_a_private_registry_is_a_file_that_only_the_pods_see() -> None:
    pod = worker(adapters("name: b, image: 'registry.example.com/b:1', imagePullSecrets: [pull]"))
    item = {"key": ".dockerconfigjson", "path": "config.json"}
    assert mounts_of(pod)["/var/run/registry"] == {
        "secret": {"secretName": "pull", "items": [item]},
        "readOnly": True,
    }
    assert environment_of(pod)["DOCKER_CONFIG"] == "/var/run/registry"
