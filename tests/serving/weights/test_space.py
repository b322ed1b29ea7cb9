"""A full disk: found before work begins where the need is known, and named where it is found on the way."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from presets.weights_source import parse_weights_source
from serving.weights import WeightsError, ensure, space
from tests.hub_server import HubServer, Repository
from tests.serving.weights.builders import checkpoint, gguf_model, wheel
from tests.serving.weights.conftest import Outcome, Weights

Refused = Callable[[Outcome, str], str]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 512 KiB."""
    where = tmp_path / "small"
    where.mkdir()
    mounted = os.geteuid() == 0 and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(where)], capture_output=True, check=False
    )
    if not mounted or mounted.returncode:
        pytest.skip("mounting a small file system needs root and the capability to mount")
    yield where
    subprocess.run(["umount", str(where)], check=True)


def test_a_package_larger_than_the_disk(
    weights: Weights, local_index: Path, small_disk: Path, tmp_path: Path, refused: Refused
) -> None:
    root = checkpoint(tmp_path / "model")
    wheel(local_index, "demo-model", {path.name: path for path in root.iterdir()})
    weights.environment["MODELYARD_CACHE"] = str(small_disk)
    message = refused(weights.run("pypi:demo-model==1.0"), "NoSpace")
    assert f"there is in {small_disk / 'weights'}: free space there, or set MODELYARD_CACHE" in message
    assert not list((small_disk / "weights" / ".tmp").iterdir()), "the disk is still full"


def test_a_package_larger_than_the_disk_of_uvs_cache(
    weights: Weights, local_index: Path, small_disk: Path, tmp_path: Path, refused: Refused
) -> None:
    root = checkpoint(tmp_path / "model")
    wheel(local_index, "demo-model", {path.name: path for path in root.iterdir()})
    weights.environment["UV_CACHE_DIR"] = str(small_disk / "uv")
    assert "set UV_CACHE_DIR" in refused(weights.run("pypi:demo-model==1.0"), "NoSpace")


def test_a_repository_larger_than_the_disk_is_not_begun(
    weights: Weights, hub: HubServer, small_disk: Path, tmp_path: Path, refused: Refused
) -> None:
    hub.repositories["org/model"] = Repository(checkpoint(tmp_path / "published"))
    weights.environment["HF_HUB_CACHE"] = str(small_disk)
    message = refused(weights.run("hf:org/model"), "NoSpace")
    assert "needs 1 MB" in message
    assert "HF_HUB_CACHE" in message
    assert not any("GET" in request and request.endswith(".safetensors") for request in hub.requests)


@pytest.mark.slow
def test_a_conversion_that_will_not_fit_says_how_much_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gguf_model(tmp_path / "tiny" / "tiny.gguf")
    monkeypatch.setattr(space, "free_bytes", lambda _: 50_000)
    with pytest.raises(WeightsError) as caught:
        ensure(parse_weights_source(f"file:{tmp_path / 'tiny'}"), cache_dir=tmp_path / "cache")
    assert caught.value.reason == "NoSpace"
    assert "needs 95 kB" in caught.value.message
    assert "50 kB is free" in caught.value.message
    assert not list((tmp_path / "cache" / ".tmp").iterdir())


@pytest.mark.slow
def test_a_disk_that_fills_up_while_writing(small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (small_disk / "filler").write_bytes(b"\0" * 450_000)
    gguf_model(tmp_path / "tiny" / "tiny.gguf")
    monkeypatch.setattr(space, "free_bytes", lambda _: 10**9)
    with pytest.raises(WeightsError) as caught:
        ensure(parse_weights_source(f"file:{tmp_path / 'tiny'}"), cache_dir=small_disk / "cache")
    assert caught.value.reason == "NoSpace", caught.value.message
    assert str(small_disk) in caught.value.message


def test_the_margin_counts() -> None:
    with pytest.raises(WeightsError, match="NoSpace"):
        space.require(Path("/"), space.free_bytes(Path("/")), "downloading something of exactly that size")


def test_space_is_asked_for_where_the_directory_will_be(tmp_path: Path) -> None:
    assert space.free_bytes(tmp_path / "not" / "there" / "yet") > 0
