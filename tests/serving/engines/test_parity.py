"""What this engine generates is what transformers generates, token for token, whatever runs beside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from serving.engines.transformers_engine import kernels
from serving.engines.transformers_engine.warmup import warm_up
from tests.serving.engines.conftest import BuildEngine, needs_kernels
from tests.serving.engines.driving import request, run
from tests.serving.engines.tiny_models import FAMILIES, WINDOW, Reference, prompt

NEW_TOKENS = 24
LENGTHS = (5, 41, 70, 3, 17, 1)
"""Prompts shorter and longer than the sliding window and than a chunk; more of them than the engine has slots."""


@pytest.mark.parametrize(
    "way",
    [
        pytest.param("recorded steps", marks=needs_kernels),
        pytest.param("modules with kernels", marks=needs_kernels),
        "modules without kernels",
    ],
)
@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_tokens_are_those_of_transformers(
    family: str, way: str, tiny_dir: Callable[[str], Path], build: BuildEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way == "modules without kernels":
        monkeypatch.setattr(kernels, "available", lambda: False)
    assert kernels.available() == (way != "modules without kernels")
    reference = Reference(tiny_dir(family))
    expected = {str(length): reference.generate(prompt(length), NEW_TOKENS) for length in LENGTHS}
    requests = {str(length): request(str(length), prompt(length), NEW_TOKENS) for length in LENGTHS}
    engine = build(family, recorded=way == "recorded steps")
    assert engine.records_steps == (way == "recorded steps")

    for name, one in requests.items():
        assert run(engine, one).tokens == {name: expected[name]}, f"prompt of {name} tokens, alone"

    first, *others = requests.values()
    joining = dict(zip([2, 3, 9, 10, 30], others, strict=True))
    together = run(engine, first, joining=joining)
    assert together.tokens == expected, "joining at different times"
    assert set(together.finish.values()) == {"length"}
    assert engine.stats().running == 0


@pytest.mark.parametrize("family", ["mistral", "gemma2"])
def test_the_sliding_window_changes_what_is_generated(
    family: str, tiny_dir: Callable[[str], Path], tmp_path: Path, build: BuildEngine
) -> None:
    """Guards the parity test: were the window without effect on these models, it could not tell a missing one."""
    long_prompt = prompt(3 * WINDOW)
    windowed = run(build(family, recorded=False), request("a", long_prompt)).tokens
    engine = build(family, recorded=False)
    model: Any = engine.model
    for layer in model.model.layers:
        layer.self_attn.sliding_window = None
        layer.self_attn.config.sliding_window = None
    assert run(engine, request("a", long_prompt)).tokens != windowed


@pytest.mark.parametrize("family", FAMILIES)
def test_the_warm_up_accepts_what_is_computed_rightly(family: str, build: BuildEngine) -> None:
    assert warm_up(build(family, recorded=False)) < 1e-4


def test_long_prompts_are_computed_in_chunks_beside_decoding_sequences(build: BuildEngine) -> None:
    engine = build()
    engine.submit(request("short", prompt(3), max_tokens=40))
    engine.step()
    engine.submit(request("long", prompt(70)))
    tokens_of_short = 0
    while "long" not in (outcome := engine.step()).chunks:
        tokens_of_short += len(outcome.chunks["short"].token_ids)
    assert tokens_of_short == 70 // 7 - 1, "the short sequence gets a token in each of the long prompt's steps"
