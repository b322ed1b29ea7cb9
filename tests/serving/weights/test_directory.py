"""file: sources: what a directory must have, and what is said when it has not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from presets.weights_source import WeightsSource
from serving.weights import ResolvedWeights, WeightsError, ensure
from tests.serving.weights.builders import checkpoint, gguf_model


def resolve(root: Path, *, trust_remote_code: bool = False) -> ResolvedWeights:
    source = WeightsSource(kind="file", target=str(root))
    return ensure(source, cache_dir=root.parent / "cache", trust_remote_code=trust_remote_code)


def refusal(root: Path, reason: str) -> str:
    with pytest.raises(WeightsError) as caught:
        resolve(root)
    assert caught.value.reason == reason, caught.value.message
    assert f"file:{root}" in caught.value.message
    return caught.value.message


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return checkpoint(tmp_path / "model")


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    return checkpoint(tmp_path / "model", shards=3)


@pytest.mark.parametrize("shards", [0, 3])
def test_a_complete_directory_is_used_where_it_lies(tmp_path: Path, shards: int) -> None:
    root = checkpoint(tmp_path / "model", shards=shards)
    resolved = resolve(root)
    assert resolved.path == root
    assert resolved.bytes == sum(path.stat().st_size for path in root.iterdir())
    assert not (tmp_path / "cache").exists(), "something was copied"


def test_the_digest_tells_two_models_of_one_shape_apart(tmp_path: Path, model: Path) -> None:
    assert resolve(model).digest == resolve(model).digest
    other = checkpoint(tmp_path / "other", seed=1)
    assert resolve(model).digest != resolve(other).digest


def test_the_digest_does_not_depend_on_the_place(tmp_path: Path, model: Path) -> None:
    before = resolve(model)
    assert resolve(model.rename(tmp_path / "moved")).digest == before.digest


def test_a_missing_directory(tmp_path: Path) -> None:
    assert "there is no such directory" in refusal(tmp_path / "none", "WeightsNotFound")


def test_a_file_in_place_of_a_directory(model: Path) -> None:
    assert "names the directory it is in" in refusal(model / "model.safetensors", "WeightsNotFound")


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_missing_part_is_named(model: Path, name: str) -> None:
    (model / name).unlink()
    missing = {"config.json": "no config.json", "tokenizer.json": "no tokenizer", "model.safetensors": "no weights"}
    assert missing[name] in refusal(model, "WeightsNotFound")


def test_a_missing_shard_is_named(sharded: Path) -> None:
    (sharded / "model-00002-of-00003.safetensors").unlink()
    message = refusal(sharded, "WeightsNotFound")
    assert "names 3 files" in message
    assert "model-00002-of-00003.safetensors" in message


def test_a_missing_index(sharded: Path) -> None:
    (sharded / "model.safetensors.index.json").unlink()
    assert "add the index" in refusal(sharded, "WeightsNotFound")


def test_shards_of_another_model_than_the_index(sharded: Path) -> None:
    for name in ("model-00001-of-00003.safetensors", "model-00003-of-00003.safetensors"):
        (sharded / name).write_bytes((sharded / "model-00002-of-00003.safetensors").read_bytes())
    assert "lacks the tensor layer.1.weight" in refusal(sharded, "WeightsCorrupt")


def test_an_index_that_leads_out_of_the_directory(sharded: Path) -> None:
    index = {"weight_map": {"layer.1.weight": "../elsewhere.safetensors"}}
    (sharded / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "is no file name" in refusal(sharded, "WeightsCorrupt")


@pytest.mark.parametrize("size", [0, 7, 40, 500_000, -1])
def test_a_truncated_file_is_found(model: Path, size: int) -> None:
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:size])
    assert "model.safetensors is truncated or no safetensors" in refusal(model, "WeightsCorrupt")


def test_a_file_with_something_appended_is_found(model: Path) -> None:
    with (model / "model.safetensors").open("ab") as file:
        file.write(b"\0")
    refusal(model, "WeightsCorrupt")


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_git_lfs_pointer_in_place_of_a_file(model: Path, name: str) -> None:
    (model / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n")
    message = refusal(model, "WeightsCorrupt")
    assert f"{name} is a git-lfs pointer" in message
    assert "git lfs pull" in message


@pytest.mark.parametrize("content", ["{", "[]", ""])
def test_a_config_that_is_no_json_object(model: Path, content: str) -> None:
    (model / "config.json").write_text(content)
    assert "config.json is no JSON" in refusal(model, "WeightsCorrupt")


def test_a_config_without_an_architecture(model: Path) -> None:
    (model / "config.json").write_text("{}")
    assert "no model_type" in refusal(model, "WeightsCorrupt")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "consolidated.00.pth", "model.pt", "model.ckpt"])
def test_pickle_only_is_refused(model: Path, name: str) -> None:
    (model / "model.safetensors").rename(model / name)
    message = refusal(model, "PickleRefused")
    assert name in message
    assert "safetensors" in message


def test_pickle_beside_safetensors_is_left_alone(model: Path) -> None:
    (model / "pytorch_model.bin").write_bytes(b"never read")
    assert resolve(model).path == model


def test_code_of_its_own_is_refused_unless_trusted(model: Path) -> None:
    config = {"model_type": "homegrown", "auto_map": {"AutoConfig": "code.Config"}}
    (model / "config.json").write_text(json.dumps(config))
    assert "homegrown is not in transformers" in refusal(model, "RemoteCodeRefused")
    assert resolve(model, trust_remote_code=True).path == model


def test_code_that_transformers_has_itself_needs_no_trust(model: Path) -> None:
    config = {"model_type": "phi3", "auto_map": {"AutoConfig": "configuration_phi3.Phi3Config"}}
    (model / "config.json").write_text(json.dumps(config))
    assert resolve(model).path == model


def test_a_tokenizer_that_comes_as_code_is_refused(model: Path) -> None:
    (model / "tokenizer.json").rename(model / "tokenizer.model")
    (model / "tokenizer_config.json").write_text(json.dumps({"auto_map": {"AutoTokenizer": ["code.Tokenizer", None]}}))
    assert "its tokenizer comes as code" in refusal(model, "RemoteCodeRefused")


def test_two_gguf_files_are_one_too_many(tmp_path: Path) -> None:
    for name in ("a.gguf", "b.gguf"):
        gguf_model(tmp_path / "gguf" / name)
    assert "has 2 GGUF files" in refusal(tmp_path / "gguf", "WeightsNotFound")


@pytest.mark.slow
def test_a_truncated_gguf_file(tmp_path: Path) -> None:
    model = gguf_model(tmp_path / "gguf" / "model.gguf")
    model.write_bytes(model.read_bytes()[:100_000])
    assert "model.gguf is truncated or damaged" in refusal(model.parent, "WeightsCorrupt")


def test_a_gguf_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "gguf").mkdir()
    (tmp_path / "gguf" / "model.gguf").write_bytes(b"<html>")
    assert "model.gguf is no GGUF file" in refusal(tmp_path / "gguf", "WeightsCorrupt")


def test_an_empty_directory_may_be_an_image_that_was_not_mounted(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"is empty.*set modelyard:kubernetes\.imageVolumes: false") as caught:
        ensure(WeightsSource(kind="file", target=str(tmp_path)))
    assert caught.value.reason == "WeightsNotFound"
