"""Adapters come and go while an engine runs, and those that do not fit are refused with the reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from serving.engines.protocol import Adapter, AdapterRefused, AdapterUse, RequestFailed
from serving.engines.transformers_engine.lora import LoraStack
from tests.serving.engines.conftest import BuildEngine
from tests.serving.engines.driving import load, request, run
from tests.serving.engines.tiny_adapters import (
    AdaptedReference,
    as_adapter,
    changed,
    make_adapter,
    rewritten,
)
from tests.serving.engines.tiny_models import Reference, prompt

Tensors = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def good(tiny_dir: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_adapter(tiny_dir("llama"), tmp_path_factory.mktemp("adapters") / "good")


def renamed(tensors: Tensors, old: str, new: str) -> Tensors:
    return {name.replace(old, new): tensor for name, tensor in tensors.items()}


def first_changed(tensors: Tensors, change: Callable[[torch.Tensor], torch.Tensor]) -> Tensors:
    first = min(tensors)
    return tensors | {first: change(tensors[first])}


def with_nan(tensor: torch.Tensor) -> torch.Tensor:
    copy = tensor.clone()
    copy[0, 0] = torch.nan
    return copy


BAD_CONFIGS = {
    "another method": ({"peft_type": "IA3"}, "NotLora", "IA3"),
    "DoRA": ({"use_dora": True}, "DoraUnsupported", "without"),
    "biases": ({"bias": "lora_only"}, "BiasUnsupported", "bias: none"),
    "whole modules": ({"modules_to_save": ["lm_head"]}, "UnsupportedModules", "lm_head"),
    "transposed layers": ({"fan_in_fan_out": True}, "UnsupportedModules", "fan_in_fan_out"),
    "no alpha": ({"lora_alpha": None}, "AdapterUnreadable", "lora_alpha"),
    "an alpha that is a text": ({"lora_alpha": "16"}, "AdapterUnreadable", "lora_alpha, but '16'"),
    "an endless alpha": ({"lora_alpha": float("inf")}, "AdapterUnreadable", "lora_alpha"),
    "an alpha that is no number": ({"lora_alpha": float("nan")}, "AdapterUnreadable", "lora_alpha"),
    "alphas in a list": ({"alpha_pattern": ["q_proj"]}, "AdapterUnreadable", "alpha_pattern"),
    "an alpha of a layer that is a text": ({"alpha_pattern": {"q_proj": "3"}}, "AdapterUnreadable", "q_proj"),
    "a pattern that takes for ever": (
        {"alpha_pattern": {"(.*.*.*.*.*)*x": 3}},
        "UnsupportedModules",
        "names of layers",
    ),
}
BAD_TENSORS: dict[str, tuple[Callable[[Tensors], Tensors], str, str]] = {
    "unknown layers": (lambda all_: renamed(all_, "q_proj", "query"), "UnknownTargetModules", "q_proj"),
    "too many layers": (lambda all_: renamed(all_, "layers.2", "layers.9"), "UnknownTargetModules", "layers.9"),
    "the output layer": (
        lambda all_: all_ | renamed(dict(list(all_.items())[:2]), "model.layers.0.mlp.down_proj", "lm_head"),
        "UnknownTargetModules",
        "lm_head",
    ),
    "another size": (
        lambda all_: {name: each[:, :-1] for name, each in all_.items()},
        "ShapeMismatch",
        "another model",
    ),
    "half of a pair": (lambda all_: dict(list(sorted(all_.items()))[1:]), "AdapterUnreadable", "one of its two"),
    "no tensors": (lambda _: {}, "AdapterUnreadable", "no matrices"),
    "integers": (lambda all_: {name: each.to(torch.int8) for name, each in all_.items()}, "DtypeUnsupported", "int8"),
    "not a number": (lambda all_: first_changed(all_, with_nan), "NotFinite", "diverged"),
    "untrained": (
        lambda all_: {name: each * 0 if "lora_B" in name else each for name, each in all_.items()},
        "NoEffect",
        "zero",
    ),
    "too small to matter": (
        lambda all_: {name: each * 1e-12 for name, each in all_.items()},
        "NoEffect",
        "too small for float32",
    ),
    "so large that it overflows": (
        lambda all_: {name: each * 1e30 for name, each in all_.items()},
        "NotFinite",
        "logits",
    ),
    "embeddings": (
        lambda all_: all_ | {"base_model.model.model.embed_tokens.lora_embedding_A": torch.ones(4, 199)},
        "UnsupportedModules",
        "lora_embedding_A",
    ),
    "magnitudes": (
        lambda all_: all_ | {"base_model.model.model.layers.0.mlp.up_proj.lora_magnitude_vector": torch.ones(64)},
        "DoraUnsupported",
        "lora_magnitude_vector",
    ),
}
BAD_FILES: dict[str, tuple[str, bytes | None, str, str]] = {
    "no config": ("adapter_config.json", None, "AdapterUnreadable", "adapter_config.json is not there"),
    "a config that is no JSON": ("adapter_config.json", b"{", "AdapterUnreadable", "cannot be read"),
    "a config that is a list": ("adapter_config.json", b"[]", "AdapterUnreadable", "no JSON object"),
    "no weights": ("adapter_model.safetensors", None, "AdapterUnreadable", "only safetensors"),
    "cut off weights": ("adapter_model.safetensors", b"\x10\x00\x00", "AdapterUnreadable", "fetch it again"),
}


def refused(engine_adapter: Adapter, build: BuildEngine) -> AdapterRefused:
    engine = build("llama")
    before = run(engine, request("before", prompt(9))).tokens["before"]
    with pytest.raises(AdapterRefused) as refusal:
        load(engine, engine_adapter)
    with pytest.raises(RequestFailed, match="not loaded"):
        engine.submit(replace(request("with", prompt(9)), adapter=AdapterUse(id=engine_adapter.id)))
    assert run(engine, request("after", prompt(9))).tokens["after"] == before, "the engine goes on as it was"
    return refusal.value


@pytest.mark.parametrize("case", BAD_CONFIGS)
def test_a_config_that_cannot_be_served(case: str, good: Path, build: BuildEngine, tmp_path: Path) -> None:
    config, reason, words = BAD_CONFIGS[case]
    refusal = refused(as_adapter(changed(good, tmp_path / "bad", **config)), build)
    assert refusal.reason == reason
    assert words in refusal.message


@pytest.mark.parametrize("case", BAD_TENSORS)
def test_tensors_that_do_not_fit(case: str, good: Path, build: BuildEngine, tmp_path: Path) -> None:
    change, reason, words = BAD_TENSORS[case]
    refusal = refused(as_adapter(rewritten(good, tmp_path / "bad", change)), build)
    assert refusal.reason == reason
    assert words in refusal.message


@pytest.mark.parametrize("case", BAD_FILES)
def test_files_that_cannot_be_read(case: str, good: Path, build: BuildEngine, tmp_path: Path) -> None:
    name, content, reason, words = BAD_FILES[case]
    directory = changed(good, tmp_path / "bad")
    (directory / name).unlink()
    if content is not None:
        (directory / name).write_bytes(content)
    refusal = refused(as_adapter(directory), build)
    assert refusal.reason == reason
    assert words in refusal.message


def test_an_adapter_that_comes_while_others_run_changes_nothing_for_them(
    tiny_dir: Callable[[str], Path], good: Path, build: BuildEngine, tmp_path: Path
) -> None:
    """A later adapter with more ranks makes all matrices anew, those that running requests use among them."""
    model = tiny_dir("llama")
    wider = make_adapter(model, tmp_path / "wider", seed=5, r=20)
    engine = build("llama")
    load(engine, as_adapter(good))
    engine.submit(replace(request("running", prompt(9), 20), adapter=AdapterUse(id="good")))
    tokens: list[int] = []
    for _ in range(5):
        tokens += engine.step().chunks["running"].token_ids if engine.has_work else ()
    load(engine, as_adapter(wider))
    engine.submit(replace(request("new", prompt(9), 20), adapter=AdapterUse(id="wider")))
    answers = run(engine)
    assert (*tokens, *answers.tokens["running"]) == AdaptedReference(model, good).generate(prompt(9), 20)
    assert answers.tokens["new"] == AdaptedReference(model, wider).generate(prompt(9), 20)


def test_an_adapter_that_goes_serves_the_requests_that_it_has(
    tiny_dir: Callable[[str], Path], good: Path, build: BuildEngine
) -> None:
    model = tiny_dir("llama")
    engine = build("llama", max_sequences=1)
    load(engine, as_adapter(good))
    with_adapter = [replace(request(name, prompt(9)), adapter=AdapterUse(id="good")) for name in ("runs", "waits")]
    for one in with_adapter:
        engine.submit(one)
    first = engine.step().chunks
    engine.adapters.remove("good")
    with pytest.raises(RequestFailed, match="not loaded"):
        engine.submit(replace(request("late", prompt(9)), adapter=AdapterUse(id="good")))
    answers = run(engine)
    expected = AdaptedReference(model, good).generate(prompt(9), 16)
    if "runs" in first:
        answers.tokens["runs"] = (*first["runs"].token_ids, *answers.tokens["runs"])
    assert answers.tokens == {"runs": expected, "waits": expected}
    load(engine, as_adapter(good))
    assert run(engine, replace(request("again", prompt(9)), adapter=AdapterUse(id="good"))).tokens["again"] == expected
    assert run(engine, request("base", prompt(9))).tokens["base"] == Reference(model).generate(prompt(9), 16)


def test_a_cancelled_request_lets_go_of_its_adapter(good: Path, build: BuildEngine) -> None:
    engine = build("llama", max_sequences=1)
    load(engine, as_adapter(good))
    for name in ("runs", "waits"):
        engine.submit(replace(request(name, prompt(9)), adapter=AdapterUse(id="good")))
    engine.step()
    engine.adapters.remove("good")
    engine.cancel("waits")
    engine.cancel("runs")
    assert not engine.adapters.knows("good")
    load(engine, as_adapter(good))
    assert engine.adapters.knows("good")


def test_files_that_are_gone_when_they_are_read_again_fail_that_request_alone(
    tiny_dir: Callable[[str], Path], build: BuildEngine, tmp_path: Path
) -> None:
    model = tiny_dir("llama")
    engine = build("llama", max_sequences=1, adapter_memory_bytes=1)
    first, second = (make_adapter(model, tmp_path / name, seed=seed) for seed, name in enumerate(("first", "second")))
    load(engine, as_adapter(first))
    load(engine, as_adapter(second))
    (first / "adapter_config.json").unlink()
    answers = run(
        engine,
        replace(request("gone", prompt(9)), adapter=AdapterUse(id="first")),
        replace(request("there", prompt(9)), adapter=AdapterUse(id="second")),
    )
    assert "adapter_config.json is not there" in answers.failures["gone"]
    assert len(answers.tokens["there"]) == 16
    ((lost, why),) = engine.adapters.take_lost()
    assert (lost, why.reason) == ("first", "AdapterUnreadable")
    assert not engine.adapters.knows("first"), "it could not be loaded again"
    assert engine.adapters.take_lost() == []


def test_a_refusal_is_in_words_that_json_can_carry(good: Path, build: BuildEngine, tmp_path: Path) -> None:
    refusal = refused(as_adapter(changed(good, tmp_path / "bad", peft_type=None)), build)
    assert json.loads(json.dumps(str(refusal))) == "NotLora: it is of type None; LoRA adapters are served"


@pytest.mark.parametrize("layers", [0, 3])
def test_no_memory_for_an_adapter_leaves_those_that_are_there(
    tiny_dir: Callable[[str], Path],
    good: Path,
    build: BuildEngine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    layers: int,
) -> None:
    """Whether it ends at the first of the layers or after some."""
    model = tiny_dir("llama")
    engine = build("llama")
    load(engine, as_adapter(good))
    wider = make_adapter(model, tmp_path / "wider", seed=5, r=20)
    left = iter(range(layers))

    def no_memory(*members: Any, **sizes: Any) -> LoraStack:
        if next(left, None) is None:
            raise torch.OutOfMemoryError("cannot allocate 3 GiB")
        return LoraStack(*members, **sizes)

    with monkeypatch.context() as patched:
        patched.setattr("serving.engines.transformers_engine.adapters.LoraStack", no_memory)
        with pytest.raises(torch.OutOfMemoryError):
            load(engine, as_adapter(wider))
    assert not engine.adapters.knows("wider")
    expected = {
        "good": AdaptedReference(model, good).generate(prompt(9), 16),
        "wider": AdaptedReference(model, wider).generate(prompt(9), 16),
    }
    assert (
        run(engine, replace(request("good", prompt(9)), adapter=AdapterUse(id="good"))).tokens["good"]
        == expected["good"]
    )
    load(engine, as_adapter(wider))
    both = [replace(request(name, prompt(9)), adapter=AdapterUse(id=name)) for name in expected]
    assert run(engine, *both).tokens == expected
