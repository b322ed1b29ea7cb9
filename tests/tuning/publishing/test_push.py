"""Adapters as images: what KAITO's puller would find, and what a registry may answer."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from presets.adapter_source import parse_adapter_source
from presets.image_reference import ImageReference
from serving.adapters.fetch import fetch
from tests.registry_program import registry_program
from tests.registry_server import RegistryServer
from tuning.errors import TuningError
from tuning.publishing.image import AdapterImage, adapter_image
from tuning.publishing.push import KEY_ANNOTATION, must_be_free, must_take_pushes, push, reference_of


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    """The two files, as large as they need to be for a server to take them."""
    directory = tmp_path / "adapter"
    directory.mkdir()
    (directory / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 4}))
    (directory / "adapter_model.safetensors").write_bytes(b"weights" * 100)
    (directory / "README.md").write_text("not in the image")
    return directory


@pytest.fixture(scope="module")
def registry() -> Iterator[str]:
    with registry_program() as host:
        yield host


def image_of(adapter: Path) -> AdapterImage:
    return adapter_image(adapter, {"sh.kaito.model.name": "phi-4"})


def pushed(image: AdapterImage, reference: ImageReference, *, overwrite: bool = False) -> tuple[str, list[str]]:
    said: list[str] = []
    return push(image, reference, overwrite, lambda progress: said.append(progress.message)), said


def test_the_layer_is_kaito_s(adapter: Path) -> None:
    image = image_of(adapter)
    manifest = json.loads(image.manifest)
    [layer] = manifest["layers"]
    assert layer["mediaType"] == "application/vnd.oci.image.layer.v1.tar+gzip"
    assert manifest["annotations"]["sh.kaito.model.name"] == "phi-4"
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(image.blobs[layer["digest"]]))) as archive:
        members = {member.name: member for member in archive}
        content = archive.extractfile("data/adapter_model.safetensors")
        assert content is not None
        assert content.read() == b"weights" * 100
    assert members.keys() == {"data", "data/adapter_config.json", "data/adapter_model.safetensors"}
    assert all(member.mode & 0o444 == 0o444 and member.uid == 0 for member in members.values())
    assert image_of(adapter) == image, "the same adapter is the same image"


def test_a_registry_takes_it_once_and_a_model_server_fetches_it(adapter: Path, registry: str, tmp_path: Path) -> None:
    reference = reference_of(f"{registry}/adapters/desk:1")
    must_take_pushes(reference)
    digest, said = pushed(image_of(adapter), reference)
    assert len(said) == 2, "config and layer are told"
    again, said = pushed(image_of(adapter), reference)
    assert again == digest
    assert said == [f"{reference} is there already"]
    fetched = fetch(parse_adapter_source(f"oci:{reference}"), tmp_path / "cache", lambda _: None)
    assert (fetched.path / "adapter_model.safetensors").read_bytes() == b"weights" * 100


def test_a_tag_is_moved_only_where_that_is_asked_for(adapter: Path, registry: str) -> None:
    reference = reference_of(f"{registry}/adapters/moved:1")
    first, _ = pushed(image_of(adapter), reference)
    (adapter / "adapter_model.safetensors").write_bytes(b"better")
    with pytest.raises(TuningError, match=r"TagExists: .*overwrite: true"):
        pushed(image_of(adapter), reference)
    second, _ = pushed(image_of(adapter), reference, overwrite=True)
    assert second == image_of(adapter).digest != first


def test_a_tag_of_another_training_is_refused_before_one_begins(adapter: Path, registry: str) -> None:
    reference = reference_of(f"{registry}/adapters/taken:1")
    must_be_free(reference, "mine")
    pushed(adapter_image(adapter, {KEY_ANNOTATION: "mine"}), reference)
    must_be_free(reference, "mine")
    with pytest.raises(TuningError, match="TagExists"):
        must_be_free(reference, "another")


def test_the_same_adapter_measured_otherwise_stays_what_it_is(adapter: Path, registry: str) -> None:
    reference = reference_of(f"{registry}/adapters/same:1")
    first, _ = pushed(adapter_image(adapter, {"metrics": "1"}), reference)
    second, _ = pushed(adapter_image(adapter, {"metrics": "2"}), reference)
    assert first == second


@pytest.mark.parametrize("scheme", ["basic", "bearer"])
def test_docker_s_login_is_used_and_one_that_may_not_push_is_told(
    scheme: str, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RegistryServer(login="me:secret", scheme=scheme) as server:  # type: ignore[arg-type]
        reference = reference_of(f"{server.host}/adapters/desk:1")
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
        with pytest.raises(TuningError, match=r"PushUnauthorized: .*docker login"):
            must_take_pushes(reference)
        login = {"auths": {server.host: {"auth": "bWU6c2VjcmV0"}}}
        (tmp_path / "config.json").write_text(json.dumps(login))
        digest, _ = pushed(image_of(adapter), reference)
        assert f"adapters/desk@{digest}" in server.manifests


def test_a_registry_that_is_not_there_is_told(adapter: Path) -> None:
    with RegistryServer() as server:
        reference = reference_of(f"{server.host}/adapters/desk:1")
    with pytest.raises(TuningError, match=f"RegistryUnreachable: {server.host}"):
        pushed(image_of(adapter), reference)


def test_a_broken_registry_is_told(adapter: Path) -> None:
    with RegistryServer(status=507) as server:
        reference = reference_of(f"{server.host}/adapters/desk:1")
        with pytest.raises(TuningError, match=r"PushFailed: .*HTTP 507"):
            pushed(image_of(adapter), reference)


@pytest.mark.parametrize("image", ["Not An Image", "registry.example.com/a@sha256:" + "0" * 64])
def test_what_has_no_tag_is_no_output(image: str) -> None:
    with pytest.raises(TuningError, match="OutputInvalid"):
        reference_of(image)
