"""Adapters from registries, directories and the hub: what is fetched, how often, and what is refused."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import oras.client
import pytest

from components.reconciliation.weights import WeightsFailed, fetch_adapters
from presets.serve_config import AdapterSettings
from serving.adapters.errors import AdapterError
from tests.hub_server import HubServer, Repository
from tests.registry_program import registry_program
from tests.registry_server import RegistryServer
from tests.serving.adapters.builders import MODEL_CONFIG, directory, files, layer, link, tensors
from tests.serving.adapters.cache import Cache, is_the_adapter

REPOSITORY = Path(__file__).parents[3]


def blobs_fetched(registry: RegistryServer) -> int:
    return sum("/blobs/" in request for request in registry.requests)


def test_an_image_as_kaito_makes_it_is_fetched_once(cache: Cache, registry: RegistryServer) -> None:
    registry.add_image("adapters/polite", "1.0", layer(files()))
    source = f"oci:{registry.host}/adapters/polite:1.0"
    first = cache.fetch(source)
    assert is_the_adapter(first)
    assert cache.told[-1].done == cache.told[-1].total
    fetched = blobs_fetched(registry)
    assert cache.fetch(source) == first
    assert blobs_fetched(registry) == fetched, "the second time it was fetched again"


def test_an_artifact_that_oras_pushed_is_fetched(cache: Cache, registry: RegistryServer, tmp_path: Path) -> None:
    folder = directory(tmp_path / "adapter")
    client = oras.client.OrasClient(hostname=registry.host, insecure=True)
    names = [f"{folder / name}:application/octet-stream" for name in files()]
    client.push(target=f"{registry.host}/adapters/polite:1.0", files=names, disable_path_validation=True)
    assert is_the_adapter(cache.fetch(f"oci:{registry.host}/adapters/polite:1.0"))


def test_the_files_of_a_later_layer_count(cache: Cache, registry: RegistryServer) -> None:
    newer = files({"r": 8}, tensors(rank=8))
    old, base = layer(files()), layer({"sh": b"#!"}, link("bin/cat", "/bin/busybox"), folder="bin/")
    registry.add_image("a", "1", base, old, layer(newer))
    assert is_the_adapter(cache.fetch(f"oci:{registry.host}/a:1"), newer)


def test_an_index_leads_to_its_image(cache: Cache, registry: RegistryServer) -> None:
    image = registry.add_image("a", "amd64", layer(files()))
    attestation = registry.add_image("a", "proof", layer({"proof.json": b"{}"}))
    registry.add_manifest(
        "a",
        "1",
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [
                {"digest": attestation, "size": 1, "platform": {"os": "unknown", "architecture": "unknown"}},
                {"digest": image, "size": 1, "platform": {"os": "linux", "architecture": "amd64"}},
            ],
        },
    )
    assert is_the_adapter(cache.fetch(f"oci:{registry.host}/a:1"))


def test_a_tag_that_was_moved_is_another_content_and_a_digest_stays(cache: Cache, registry: RegistryServer) -> None:
    source = f"oci:{registry.host}/a:latest"
    pinned = f"oci:{registry.host}/a@{registry.add_image('a', 'latest', layer(files()))}"
    first = cache.fetch(source)
    registry.add_image("a", "latest", layer(files({"lora_alpha": 16})))
    second = cache.fetch(source)
    assert second.digest != first.digest
    registry.requests.clear()
    assert cache.fetch(pinned) == first, "the earlier version is gone"
    assert not registry.requests, "what a digest names cannot have changed"


def test_the_same_content_has_one_digest_wherever_it_comes_from(
    cache: Cache, registry: RegistryServer, tmp_path: Path
) -> None:
    registry.add_image("a", "1", layer(files()))
    image = cache.fetch(f"oci:{registry.host}/a:1")
    assert cache.fetch(f"file:{directory(tmp_path / 'volume')}").digest == image.digest


def test_a_registry_that_is_away_does_not_take_what_was_fetched(cache: Cache, registry: RegistryServer) -> None:
    registry.add_image("a", "1", layer(files()))
    first = cache.fetch(f"oci:{registry.host}/a:1")
    registry.status = 503
    assert cache.fetch(f"oci:{registry.host}/a:1") == first
    assert cache.refuses(f"oci:{registry.host}/b:1").reason == "DownloadFailed"


@pytest.mark.parametrize("scheme", ["basic", "bearer"])
def test_the_login_is_docker_s(cache: Cache, registry: RegistryServer, tmp_path: Path, scheme: Any) -> None:
    registry.login, registry.scheme = "user:secret", scheme
    registry.add_image("a", "1", layer(files()))
    refused = cache.refuses(f"oci:{registry.host}/a:1")
    assert refused.reason == "Unauthorized"
    assert f"docker login {registry.host}" in refused.message
    auth = base64.b64encode(b"user:secret").decode()
    (tmp_path / "home" / ".docker").mkdir(parents=True)
    (tmp_path / "home" / ".docker" / "config.json").write_text(json.dumps({"auths": {registry.host: {"auth": auth}}}))
    assert is_the_adapter(cache.fetch(f"oci:{registry.host}/a:1"))


def test_docker_config_may_be_elsewhere(
    cache: Cache, registry: RegistryServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.login = "user:secret"
    registry.add_image("a", "1", layer(files()))
    auth = base64.b64encode(b"user:secret").decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {registry.host: {"auth": auth}}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    assert is_the_adapter(cache.fetch(f"oci:{registry.host}/a:1"))


def test_what_another_registry_needs_is_not_sent_without_tls(cache: Cache) -> None:
    refused = cache.refuses("oci:registry.invalid:5000/a:1")
    assert refused.reason == "DownloadFailed"
    assert "registry.invalid" in refused.message


def test_a_directory_is_copied_so_that_it_may_change(cache: Cache, tmp_path: Path) -> None:
    folder = directory(tmp_path / "volume")
    first = cache.fetch(f"file:{folder}")
    directory(folder, files({"lora_alpha": 32}))
    assert is_the_adapter(first), "what a running engine may read again has changed"
    assert cache.fetch(f"file:{folder}").digest != first.digest


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({}, "AdapterNotFound"),
        ({"adapter_model.safetensors": b""}, "AdapterNotFound"),
        ({"adapter_config.json": b"{}", "adapter_model.bin": b""}, "PickledWeights"),
        ({"adapter_config.json": b" " * (2**20 + 1), "adapter_model.safetensors": b""}, "AdapterTooLarge"),
    ],
)
def test_a_directory_that_is_no_adapter_is_refused(
    cache: Cache, tmp_path: Path, content: dict[str, bytes], reason: str
) -> None:
    assert cache.refuses(f"file:{directory(tmp_path / 'volume', content)}").reason == reason


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")], ids=["pipe", "zeros"])
def test_what_could_be_read_for_ever_is_refused(cache: Cache, tmp_path: Path, make: Callable[[Path], None]) -> None:
    source = directory(tmp_path / "endless")
    (source / "adapter_model.safetensors").unlink()
    make(source / "adapter_model.safetensors")
    with pytest.raises(AdapterError, match=r"adapter_model\.safetensors is no plain file"):
        cache.fetch(f"file:{source}")


def test_a_directory_that_is_not_there_is_refused(cache: Cache) -> None:
    assert cache.refuses("file:/no/such/adapter").reason == "AdapterNotFound"


def run(home: Path, *arguments: str, **environment: str) -> tuple[int, dict[str, Any]]:
    """`python -m serving.adapters`: the hub's client reads its settings when it is imported."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "MODELYARD_"))}
    done = subprocess.run(
        [sys.executable, "-m", "serving.adapters", *arguments],
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
        env=inherited | {"MODELYARD_CACHE": str(home), "HF_HOME": str(home / "hf")} | environment,
        check=False,
    )
    return done.returncode, json.loads(done.stdout.splitlines()[-1])


def test_the_hub_is_another_source(tmp_path: Path) -> None:
    with HubServer() as hub:
        hub.repositories["org/polite"] = Repository(directory(tmp_path / "published"))
        settings = {"HF_ENDPOINT": hub.url, "NO_PROXY": "127.0.0.1"}
        status, told = run(tmp_path / "cache", "hf:org/polite", **settings)
        assert status == 0, told
        assert (Path(told["path"]) / "adapter_config.json").read_bytes() == files()["adapter_config.json"]
        hub.repositories["org/polite"].token = "secret"  # a replica is not given any
        assert run(tmp_path / "cache", "hf:org/polite", **settings)[0] == 0, "what was fetched is not used"
        status, told = run(tmp_path / "cache", "hf:org/none", **settings)
        assert (status, told["reason"]) == (1, "AdapterNotFound")
        (tmp_path / "published" / "adapter_model.safetensors").rename(tmp_path / "published" / "adapter_model.bin")
        hub.repositories["org/pickle"] = Repository(tmp_path / "published")
        status, told = run(tmp_path / "other", "hf:org/pickle", **settings)
        assert (status, told["reason"]) == (1, "PickledWeights")


def test_the_command_says_what_a_replica_would(tmp_path: Path) -> None:
    folder = directory(tmp_path / "wide", files({"r": 64}, tensors(rank=64)))
    status, told = run(tmp_path, f"file:{folder}")
    assert (status, told["reason"]) == (1, "RankTooHigh")
    assert run(tmp_path, f"file:{folder}", "--rank", "64")[0] == 0
    status, told = run(tmp_path, "polite")
    assert (status, told["reason"]) == (2, "SourceInvalid")


class CountingPopen(subprocess.Popen[str]):
    started: ClassVar[list[Any]] = []

    def __init__(self, command: list[str], **options: Any) -> None:
        self.started.append(command)
        super().__init__(command, **options)


def test_one_process_prepares_all_adapters_of_a_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text(json.dumps(MODEL_CONFIG))
    wide = directory(tmp_path / "wide", files({"r": 64}, tensors(rank=64)))
    wanted = [
        AdapterSettings(name=f"polite-{n}", source=f"file:{directory(tmp_path / f'polite-{n}')}", rank=16)
        for n in range(100)
    ]
    monkeypatch.setenv("MODELYARD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(subprocess, "Popen", CountingPopen)
    CountingPopen.started.clear()
    said: list[str] = []
    fetch_adapters(REPOSITORY, wanted, tmp_path / "model", said.append)
    assert len(CountingPopen.started) == 1

    settings = AdapterSettings(name="wide", source=f"file:{wide}", rank=64)
    fetch_adapters(REPOSITORY, [*wanted[:2], settings], tmp_path / "model", said.append)
    low = settings.model_copy(update={"rank": 8})
    with pytest.raises(WeightsFailed, match=r"^adapter wide: .*rank 64") as caught:
        fetch_adapters(REPOSITORY, [wanted[0], low, wanted[1]], tmp_path / "model", said.append)
    assert caught.value.reason == "RankTooHigh"
    gone = AdapterSettings(name="gone", source="file:/no/such/adapter", rank=8)
    with pytest.raises(WeightsFailed, match=r"^adapter gone: ") as caught:
        fetch_adapters(REPOSITORY, [wanted[0], gone], tmp_path / "model", said.append)
    assert caught.value.reason == "AdapterNotFound"
    CountingPopen.started.clear()
    fetch_adapters(REPOSITORY, [], tmp_path / "model", said.append)
    assert CountingPopen.started == [], "a process is started for nothing"


@pytest.mark.slow
def test_a_registry_in_its_own_right_agrees(cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with registry_program() as host:
        folder = directory(tmp_path / "data")
        client = oras.client.OrasClient(hostname=host, insecure=True)
        client.push(target=f"{host}/adapters/folder:1.0", files=[f"{folder}/"], disable_path_validation=True)
        names = [f"{folder / name}:application/octet-stream" for name in files()]
        client.push(target=f"{host}/adapters/files:1.0", files=names, disable_path_validation=True)
        assert is_the_adapter(cache.fetch(f"oci:{host}/adapters/files:1.0"))
        assert is_the_adapter(cache.fetch(f"oci:{host}/adapters/folder:1.0"))
        assert cache.refuses(f"oci:{host}/adapters/none:1.0").reason == "AdapterNotFound"
