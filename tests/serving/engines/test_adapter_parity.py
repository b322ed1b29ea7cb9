"""With adapters the engine generates what peft generates, token for token, whatever runs beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from serving.engines.protocol import AdapterUse, GenerationRequest
from tests.serving.engines.conftest import BuildEngine
from tests.serving.engines.driving import load, request, run
from tests.serving.engines.tiny_adapters import AdaptedReference, as_adapter, make_adapter
from tests.serving.engines.tiny_models import Reference, prompt

NEW_TOKENS = 16
LENGTHS = (5, 41, 3)
DENSE = ("llama", "qwen3", "mistral", "phi3", "gemma2", "qwen3_moe")
"""Families whose layers are linear ones, experts aside."""


def using(adapter: str | None, one: GenerationRequest, strength: float | None = None) -> GenerationRequest:
    return replace(one, adapter=AdapterUse(id=adapter, strength=strength) if adapter else None)


@pytest.mark.parametrize("family", DENSE)
def test_each_row_of_a_mixed_batch_has_its_own_adapter(
    family: str, tiny_dir: Callable[[str], Path], build: BuildEngine, tmp_path: Path
) -> None:
    model = tiny_dir(family)
    attention = ["qkv_proj", "o_proj"] if family == "phi3" else ["q_proj", "v_proj", "o_proj"]
    adapters = {
        "wide": make_adapter(model, tmp_path / "wide", r=12, lora_alpha=6, use_rslora=True, target_modules=attention),
        "narrow": make_adapter(model, tmp_path / "narrow", seed=2, r=3, target_modules=attention[-1:]),
    }
    references = {None: Reference(model)} | {name: AdaptedReference(model, path) for name, path in adapters.items()}
    engine = build(family)
    for path in adapters.values():
        load(engine, as_adapter(path))
    expected = {
        f"{adapter}-{length}": reference.generate(prompt(length), NEW_TOKENS)
        for adapter, reference in references.items()
        for length in LENGTHS
    }
    assert len({tokens for name, tokens in expected.items() if name.endswith("-5")}) == 3, "the adapters change nothing"
    requests = [
        using(adapter, request(f"{adapter}-{length}", prompt(length), NEW_TOKENS))
        for length in LENGTHS
        for adapter in references
    ]
    for one in requests:
        assert run(engine, one).tokens == {one.id: expected[one.id]}, f"{one.id}, alone"
    joining = dict(zip([1, 2, 5, 6, 7, 9, 11, 12], requests[1:], strict=True))
    assert run(engine, requests[0], joining=joining).tokens == expected, "joining at different times"


def test_all_linear_layers_and_patterns_of_rank_and_alpha(
    tiny_dir: Callable[[str], Path], build: BuildEngine, tmp_path: Path
) -> None:
    model = tiny_dir("llama")
    alphas = {"layers.1.self_attn.q_proj": 30, "up_proj": 2}
    adapter = make_adapter(model, tmp_path / "patterned", rank_pattern={"q_proj": 7}, alpha_pattern=alphas)
    engine = build("llama")
    load(engine, as_adapter(adapter))
    expected = AdaptedReference(model, adapter).generate(prompt(9), NEW_TOKENS)
    assert run(engine, using("patterned", request("a", prompt(9), NEW_TOKENS))).tokens == {"a": expected}


def test_strength_scales_an_adapter_and_a_request_may_choose_its_own(
    tiny_dir: Callable[[str], Path], build: BuildEngine, tmp_path: Path
) -> None:
    model = tiny_dir("llama")
    path = make_adapter(model, tmp_path / "one")
    engine = build("llama")
    load(engine, as_adapter(path, strength=0.5))
    expected = {
        "own": AdaptedReference(model, path, 0.5).generate(prompt(9), NEW_TOKENS),
        "all": AdaptedReference(model, path).generate(prompt(9), NEW_TOKENS),
        "none": Reference(model).generate(prompt(9), NEW_TOKENS),
    }
    assert len(set(expected.values())) == 3
    asked = {"own": None, "all": 1.0, "none": 0.0}
    requests = [using("one", request(name, prompt(9), NEW_TOKENS), strength) for name, strength in asked.items()]
    assert run(engine, *requests).tokens == expected


def test_more_adapters_than_slots_and_than_memory_take_turns(
    tiny_dir: Callable[[str], Path], build: BuildEngine, tmp_path: Path
) -> None:
    model = tiny_dir("llama")
    paths = [make_adapter(model, tmp_path / f"adapter-{number}", seed=number) for number in range(5)]
    engine = build("llama", max_sequences=2, adapter_memory_bytes=1)
    for path in paths:
        load(engine, as_adapter(path))
    expected = {path.name: AdaptedReference(model, path).generate(prompt(9), NEW_TOKENS) for path in paths}
    requests = [using(path.name, request(path.name, prompt(9), NEW_TOKENS)) for path in paths]
    assert run(engine, *requests).tokens == expected
