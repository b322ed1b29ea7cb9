"""oci: sources: images and artifacts at a registry on loopback, and one registry that is not ours."""

from __future__ import annotations

import base64
import gzip
import io
import json
import random
import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import oras.client
import pytest

from tests.registry_program import push_image, registry_program
from tests.registry_server import RegistryServer
from tests.serving.weights.builders import checkpoint, gguf_model
from tests.serving.weights.conftest import Outcome, Weights

Refused = Callable[[Outcome, str], str]
NAMES = {"config.json", "tokenizer.json", "model.safetensors"}


@pytest.fixture
def registry(weights: Weights) -> Iterator[RegistryServer]:
    weights.environment |= {"HOME": str(weights.home / "home"), "DOCKER_CONFIG": "", "NO_PROXY": "127.0.0.1"}
    with RegistryServer() as server:
        yield server


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return checkpoint(tmp_path / "published")


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def layer(content: Mapping[str, bytes], *special: tarfile.TarInfo, folder: str = "") -> bytes:
    """A layer of an image, tar with gzip; `special` members have no content."""
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="w", compresslevel=1) as packed, tarfile.open(fileobj=packed, mode="w") as tar:
        for member in special:
            tar.addfile(member)
        for name, data in content.items():
            member = tarfile.TarInfo(folder + name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return out.getvalue()


def link(name: str, target: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.SYMTYPE, target
    return member


def add_artifact(registry: RegistryServer, repository: str, tag: str, content: Mapping[str, bytes]) -> str:
    """As `oras push` makes it: a layer a file, named by its title."""
    layers = [
        {
            "mediaType": "application/octet-stream",
            "digest": registry.add_blob(data),
            "size": len(data),
            "annotations": {"org.opencontainers.image.title": name},
        }
        for name, data in content.items()
    ]
    return registry.add_manifest(repository, tag, {"schemaVersion": 2, "layers": layers})


def is_the_model(outcome: Outcome, published: Path) -> bool:
    found = files_of(outcome.path)
    found.pop("manifest.json")
    return found == files_of(published)


def blobs_fetched(registry: RegistryServer) -> int:
    return sum("/blobs/" in request for request in registry.requests)


@pytest.mark.parametrize("folder", ["", "./", "workspace/weights/", "models/", "data/"])
def test_an_image_s_model_is_found_wherever_it_lies(
    weights: Weights, registry: RegistryServer, model: Path, folder: str
) -> None:
    system = layer({"etc/passwd": b"root", "usr/share/doc/config.json": b"{}"}, link("bin/list.json", "/bin/busybox"))
    registry.add_image("models/tiny", "1", system, layer(files_of(model), folder=folder))
    source = f"oci:{registry.host}/models/tiny:1"
    first = weights.run(source)
    assert is_the_model(first, model)
    fetched = blobs_fetched(registry)
    assert weights.run(source).last["digest"] == first.last["digest"]
    assert blobs_fetched(registry) == fetched, "the second time it was fetched again"
    assert not list(weights.cache.glob(".blobs/*")), "what was on its way takes space for ever"


def test_weights_may_be_spread_over_layers_and_the_later_ones_count(
    weights: Weights, registry: RegistryServer, tmp_path: Path
) -> None:
    model = checkpoint(tmp_path / "published", shards=2)
    files = files_of(model)
    [first, second] = [name for name in files if name.endswith(".safetensors")]
    old = checkpoint(tmp_path / "old")
    rest = {name: data for name, data in files.items() if name not in (first, second)}
    registry.add_image(
        "a",
        "1",
        layer({**files_of(old), "config.json": b"{}"}, folder="models/"),
        layer({**rest, ".wh.model.safetensors": b""}, folder="models/"),
        layer({first: files[first]}, folder="models/"),
        layer({second: files[second]}, folder="models/"),
    )
    assert is_the_model(weights.run(f"oci:{registry.host}/a:1"), model)


def test_a_folder_that_a_later_layer_replaces_is_gone(weights: Weights, registry: RegistryServer, model: Path) -> None:
    old = layer({**files_of(model), "special_tokens_map.json": b"{}"}, folder="models/")
    registry.add_image("a", "1", old, layer({**files_of(model), ".wh..wh..opq": b""}, folder="models/"))
    assert is_the_model(weights.run(f"oci:{registry.host}/a:1"), model)


@pytest.mark.parametrize("folder", ["", "phi/", "/somebodys/folder/"])
def test_an_artifact_is_fetched_without_what_is_not_needed(
    weights: Weights, registry: RegistryServer, model: Path, folder: str
) -> None:
    content = {**files_of(model), "pytorch_model.bin": b"\x80", "README.md": b"#", "onnx/model.onnx": b"o"}
    add_artifact(registry, "a", "1", {f"{folder}{name}": data for name, data in content.items()})
    assert is_the_model(weights.run(f"oci:{registry.host}/a:1"), model)
    assert blobs_fetched(registry) == len(NAMES)


def test_a_gguf_file_is_converted(weights: Weights, registry: RegistryServer, tmp_path: Path) -> None:
    model = gguf_model(tmp_path / "tiny.gguf")
    add_artifact(registry, "a", "1", {"tiny.gguf": model.read_bytes()})
    found = weights.run(f"oci:{registry.host}/a:1")
    assert (found.path / "model.safetensors").exists()


def test_a_tag_that_was_moved_is_another_content_and_a_digest_stays(
    weights: Weights, registry: RegistryServer, model: Path, tmp_path: Path
) -> None:
    pinned = f"oci:{registry.host}/a:1@{registry.add_image('a', '1', layer(files_of(model)))}"
    first = weights.run(f"oci:{registry.host}/a:1")
    newer = checkpoint(tmp_path / "newer", seed=1)
    registry.add_image("a", "1", layer(files_of(newer)))
    assert is_the_model(weights.run(f"oci:{registry.host}/a:1"), newer)
    registry.requests.clear()
    assert weights.run(pinned).last["digest"] == first.last["digest"]
    assert not registry.requests, "what a digest names cannot have changed"


def test_a_registry_that_is_away_does_not_take_what_was_fetched(
    weights: Weights, registry: RegistryServer, model: Path, refused: Refused
) -> None:
    registry.add_image("a", "1", layer(files_of(model)))
    first = weights.run(f"oci:{registry.host}/a:1")
    registry.status = 503
    assert weights.run(f"oci:{registry.host}/a:1").last["digest"] == first.last["digest"]
    assert "answered HTTP 503" in refused(weights.run(f"oci:{registry.host}/b:1"), "DownloadFailed")


@pytest.mark.parametrize("has_ranges", [True, False], ids=["ranges", "no ranges"])
def test_a_line_that_breaks_is_taken_up_again(
    weights: Weights, registry: RegistryServer, model: Path, has_ranges: bool
) -> None:
    registry.add_image("a", "1", layer(files_of(model)))
    registry.breaks, registry.has_ranges = [300_000, 100_000], has_ranges
    assert is_the_model(weights.run(f"oci:{registry.host}/a:1"), model)
    assert blobs_fetched(registry) == 3


def test_what_a_failed_run_has_fetched_is_not_fetched_again(
    weights: Weights, registry: RegistryServer, model: Path, refused: Refused
) -> None:
    files = files_of(model)
    small = {name: data for name, data in files.items() if name.endswith(".json")}
    add_artifact(registry, "a", "1", files)
    registry.breaks = [len(data) for data in small.values()] + [400_000, 0, 0, 0, 0]
    message = refused(weights.run(f"oci:{registry.host}/a:1"), "DownloadFailed")
    assert "broke off" in message
    assert not weights.half_made
    registry.requests.clear()
    again = weights.run(f"oci:{registry.host}/a:1")
    assert is_the_model(again, model)
    assert blobs_fetched(registry) == 1, "only the file that was broken off is asked for"
    assert [blob for blob in weights.cache.glob(".blobs/*")] == []


def test_what_was_damaged_on_the_disk_meanwhile_is_fetched_anew(
    weights: Weights, registry: RegistryServer, model: Path, refused: Refused
) -> None:
    registry.add_image("a", "1", layer(files_of(model)))
    registry.breaks = [400_000, 0, 0, 0, 0]
    refused(weights.run(f"oci:{registry.host}/a:1"), "DownloadFailed")
    (left,) = weights.cache.glob(".blobs/*/*")
    left.write_bytes(bytes(left.stat().st_size))
    assert is_the_model(weights.run(f"oci:{registry.host}/a:1"), model)


def spoil(registry: RegistryServer, change: Callable[[bytes], bytes]) -> None:
    digest = max(registry.blobs, key=lambda each: len(registry.blobs[each]))
    registry.blobs[digest] = change(registry.blobs[digest])


@pytest.mark.parametrize(
    "change", [lambda blob: blob[:-10], lambda blob: blob[:-1] + b"?", lambda blob: blob + b"more"]
)
def test_bytes_that_are_not_what_the_manifest_says_are_not_used(
    weights: Weights, registry: RegistryServer, model: Path, refused: Refused, change: Callable[[bytes], bytes]
) -> None:
    registry.add_image("a", "1", layer(files_of(model)))
    spoil(registry, change)
    message = refused(weights.run(f"oci:{registry.host}/a:1"), "DownloadFailed")
    assert "is not what its manifest says" in message
    assert not weights.half_made


@pytest.mark.parametrize("scheme", ["basic", "bearer"])
def test_the_login_is_docker_s(
    weights: Weights, registry: RegistryServer, model: Path, refused: Refused, scheme: Any
) -> None:
    registry.login, registry.scheme = "user:secret", scheme
    registry.add_image("a", "1", layer(files_of(model)))
    message = refused(weights.run(f"oci:{registry.host}/a:1"), "Unauthorized")
    assert f"docker login {registry.host}" in message
    assert "imagePullSecrets" in message
    auth = base64.b64encode(b"user:secret").decode()
    (weights.home / "config.json").write_text(json.dumps({"auths": {registry.host: {"auth": auth}}}))
    weights.environment["DOCKER_CONFIG"] = str(weights.home)
    assert is_the_model(weights.run(f"oci:{registry.host}/a:1"), model)


def test_what_is_not_there_is_named(weights: Weights, registry: RegistryServer, refused: Refused) -> None:
    missing = f"oci:{registry.host}/a:2"
    assert f"{missing}: {registry.host} has no such image" in refused(weights.run(missing), "WeightsNotFound")
    other = f"oci:{registry.host}/a@sha256:{'0' * 64}"
    assert "no such image" in refused(weights.run(other), "WeightsNotFound")
    away = "oci:127.0.0.1:9/a:1"
    assert "127.0.0.1:9 cannot be reached" in refused(weights.run(away), "DownloadFailed")


NOISE = random.Random(1).randbytes(10_000)
PICKLE = {"config.json": b'{"model_type": "llama"}', "tokenizer.json": b"{}", "pytorch_model.bin": b"\x80"}


@pytest.mark.parametrize(
    ("content", "reason", "says"),
    [
        (layer({"readme.md": b"hello"}), "WeightsNotFound", "has no weights"),
        (layer(PICKLE, folder="models/"), "PickleRefused", "pytorch_model.bin"),
        (layer({"model.safetensors": b"x"}, tarfile.TarInfo("../../etc/evil")), "UnsafeArchive", "leads out of it"),
        (layer({"config.json": b"{}"}, link("model.safetensors", "/etc/passwd")), "UnsafeArchive", "as a link"),
        (layer({"m/model.safetensors": b"x"}, link("m/config.json", "/etc/passwd")), "UnsafeArchive", "m/config.json"),
        (layer({"model.safetensors": NOISE})[:-5000], "WeightsCorrupt", "damaged or no tar archive"),
        (b"no archive", "WeightsCorrupt", "damaged or no tar archive"),
        (b"\x28\xb5\x2f\xfd rest", "WeightsCorrupt", "zstd"),
        (layer({"model.safetensors": b"\1\0\0\0\0\0\0\0x", "config.json": b"{}"}), "WeightsCorrupt", "no safetensors"),
    ],
    ids=["other files", "pickle", "escapes", "links", "linked config", "truncated", "no archive", "zstd", "no tensors"],
)
def test_an_image_that_cannot_be_served_is_refused(
    weights: Weights, registry: RegistryServer, refused: Refused, content: bytes, reason: str, says: str
) -> None:
    registry.add_image("a", "1", content)
    assert says in refused(weights.run(f"oci:{registry.host}/a:1"), reason)
    assert not weights.half_made


def test_two_models_in_one_place_are_named(weights: Weights, registry: RegistryServer, model: Path) -> None:
    registry.add_image("a", "1", layer(files_of(model), folder="a/"), layer(files_of(model), folder="b/"))
    assert "carries 2 models (a, b)" in weights.run(f"oci:{registry.host}/a:1").last["message"]
    both = {f"{folder}/{name}": data for folder in "ab" for name, data in files_of(model).items()}
    add_artifact(registry, "b", "1", both)
    assert "carries 2 models (a, b)" in weights.run(f"oci:{registry.host}/b:1").last["message"]


def test_a_model_in_another_form_inside_of_its_folder_is_left_alone(
    weights: Weights, registry: RegistryServer, model: Path
) -> None:
    both = {**files_of(model), **{f"original/{name}": data for name, data in files_of(model).items()}}
    registry.add_image("a", "1", layer(both, folder="models/"))
    assert is_the_model(weights.run(f"oci:{registry.host}/a:1"), model)
    add_artifact(registry, "b", "1", both)
    assert is_the_model(weights.run(f"oci:{registry.host}/b:1"), model)


@pytest.mark.parametrize(
    ("content", "reason", "says"),
    [
        (PICKLE, "PickleRefused", "pytorch_model.bin"),
        ({"../model.safetensors": b""}, "UnsafeArchive", "leads out of it"),
        ({"config.json": b"{}", "model.safetensors": b"", f"{'x' * 300}.json": b""}, "UnsafeArchive", "xxx"),
        ({"config.json": b"{}"}, "WeightsNotFound", "has no weights"),
        (
            {"config.json": b"{}", "model.safetensors.index.json": b'{"weight_map": {"a": "gone.safetensors"}}'},
            "WeightsNotFound",
            "gone.safetensors",
        ),
    ],
    ids=["pickle", "escapes", "a name too long", "no weights", "a shard is missing"],
)
def test_an_artifact_that_cannot_be_served_is_refused(
    weights: Weights, registry: RegistryServer, refused: Refused, content: Mapping[str, bytes], reason: str, says: str
) -> None:
    add_artifact(registry, "a", "1", content)
    assert says in refused(weights.run(f"oci:{registry.host}/a:1"), reason)


def test_code_in_an_artifact_is_refused_before_the_weights_are_fetched(
    weights: Weights, registry: RegistryServer, tmp_path: Path, refused: Refused
) -> None:
    config = {"model_type": "homegrown", "auto_map": {"AutoConfig": "code.Config"}}
    add_artifact(registry, "a", "1", files_of(checkpoint(tmp_path / "m", config=config)))
    refused(weights.run(f"oci:{registry.host}/a:1", "--trust-remote-code"), "RemoteCodeRefused")
    assert blobs_fetched(registry) == len(NAMES) - 1


def test_a_disk_that_is_too_small_is_told_before_anything_is_fetched(
    weights: Weights, registry: RegistryServer, refused: Refused
) -> None:
    digest = registry.add_blob(b"never asked for")
    described = {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest, "size": 10**16}
    registry.add_manifest("a", "1", {"schemaVersion": 2, "layers": [described]})
    assert "fetching and unpacking" in refused(weights.run(f"oci:{registry.host}/a:1"), "NoSpace")
    assert blobs_fetched(registry) == 0


@pytest.mark.slow
def test_a_registry_in_its_own_right_agrees(
    weights: Weights, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Refused
) -> None:
    weights.environment |= {"HOME": str(tmp_path / "home"), "DOCKER_CONFIG": "", "NO_PROXY": "127.0.0.1"}
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(model)
    with registry_program() as host:
        digest = push_image(host, "models/image", "1", layer(files_of(model), folder="workspace/weights/"))
        client = oras.client.OrasClient(hostname=host, insecure=True)
        client.push(target=f"{host}/models/files:1", files=sorted(NAMES))
        client.push(target=f"{host}/models/folder:1", files=["../published"], disable_path_validation=True)
        image = weights.run(f"oci:{host}/models/image:1")
        assert is_the_model(image, model)
        for source in (f"image:1@{digest}", "files:1", "folder:1"):
            outcome = weights.run(f"oci:{host}/models/{source}")
            assert outcome.last.get("digest") == image.last["digest"], outcome
        refused(weights.run(f"oci:{host}/models/image:2"), "WeightsNotFound")
        refused(weights.run(f"oci:{host}/models/image@sha256:{'0' * 64}"), "WeightsNotFound")
