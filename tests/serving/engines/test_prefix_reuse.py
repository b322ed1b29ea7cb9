"""What the cache still holds of a prompt is not computed again, and nothing about the answer changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from serving.engines.protocol import AdapterUse, Sampling
from tests.serving.engines.conftest import BuildEngine
from tests.serving.engines.driving import load, request, run
from tests.serving.engines.tiny_adapters import AdaptedReference, as_adapter, make_adapter
from tests.serving.engines.tiny_models import POISON, WINDOW, Reference, prompt

SHARED = prompt(3 * WINDOW)
"""Longer than the sliding window of the families that have one."""


@pytest.mark.parametrize("family", ["llama", "mistral", "gemma2", "gpt_oss"])
def test_a_conversation_goes_on_where_it_was(family: str, tiny_dir: Callable[[str], Path], build: BuildEngine) -> None:
    reference, engine = Reference(tiny_dir(family)), build(family)
    first = run(engine, request("first", SHARED, 9)).tokens["first"]
    turn = (*SHARED, *first, *prompt(5))
    assert run(engine, request("second", turn, 9)).tokens["second"] == reference.generate(turn, 9)
    # the last token of an answer is told and not computed
    assert engine.stats().reused_prompt_tokens == len(SHARED) + len(first) - 1
    assert engine.stats().prompt_tokens == len(SHARED) + 1 + 5


def test_a_prompt_that_others_begin_with_too_is_computed_once(
    tiny_dir: Callable[[str], Path], build: BuildEngine
) -> None:
    reference, engine = Reference(tiny_dir("llama")), build(max_sequences=4)
    questions = [(*SHARED, *prompt(4, seed)) for seed in range(4)]
    later = {10 + number: request(str(number), question) for number, question in enumerate(questions[1:], 1)}
    answers = run(engine, request("0", questions[0]), joining=later)
    expected = {str(number): reference.generate(question, 16) for number, question in enumerate(questions)}
    assert answers.tokens == expected
    assert engine.stats().reused_prompt_tokens == 3 * len(SHARED)


def test_an_adapter_or_another_strength_computes_its_own(
    tiny_dir: Callable[[str], Path], build: BuildEngine, tmp_path: Path
) -> None:
    model = tiny_dir("llama")
    path = make_adapter(model, tmp_path / "one")
    engine = build()
    load(engine, as_adapter(path))
    run(engine, request("base", SHARED, 4))
    answers = {
        strength: run(engine, replace(request("a", SHARED, 9), adapter=AdapterUse(id="one", strength=strength)))
        for strength in (1.0, 0.5)
    }
    assert engine.stats().reused_prompt_tokens == 0
    for strength, answer in answers.items():
        assert answer.tokens["a"] == AdaptedReference(model, path, strength).generate(SHARED, 9)
    again = run(engine, replace(request("a", SHARED, 9), adapter=AdapterUse(id="one", strength=1.0)))
    assert again.tokens == answers[1.0].tokens
    assert engine.stats().reused_prompt_tokens == len(SHARED) - 1


def test_a_request_that_failed_or_was_cancelled_leaves_nothing_wrong(build: BuildEngine, poisoned_dir: Path) -> None:
    engine = build(model_dir=poisoned_dir, max_sequences=1)
    expected = Reference(poisoned_dir).generate(SHARED, 9)
    assert run(engine, request("poisoned", (*SHARED, POISON))).failures
    assert run(engine, request("a", SHARED, 9)).tokens["a"] == expected
    assert engine.stats().reused_prompt_tokens == 0
    engine.submit(request("cancelled", (*SHARED, *prompt(40, 3)), 9))
    engine.step()
    engine.cancel("cancelled")
    assert run(engine, request("b", SHARED, 9)).tokens["b"] == expected


def test_a_request_with_a_seed_computes_its_whole_prompt(build: BuildEngine) -> None:
    engine = build()
    run(engine, request("a", SHARED, 9))
    run(engine, request("seeded", SHARED, 9, Sampling(seed=7)))
    assert engine.stats().reused_prompt_tokens == 0
    run(engine, request("b", SHARED, 9))
    assert engine.stats().reused_prompt_tokens == len(SHARED) - 1
