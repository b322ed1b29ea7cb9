"""Completions held to a grammar: valid, complete, and no concern of the requests beside them."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from llguidance import LLMatcher
from tokenizers import Tokenizer

from serving.engines.protocol import GenerationRequest, RequestFailed, Sampling
from serving.engines.transformers_engine import engine as engine_module
from serving.engines.transformers_engine.constraints import MOST_KEPT, Constraints
from serving.engines.transformers_engine.engine import TransformersEngine
from serving.grammars import grammar_of, json_of
from tests.serving.engines.conftest import SMALL_CHUNKS, BuildEngine
from tests.serving.engines.driving import GREEDY, Answers, request, run
from tests.serving.engines.tiny_models import CONTEXT, POISON, prompt
from tests.serving.engines.tiny_tokenizer import END, save_tokenizer

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "colour": {"enum": ["red", "blue"]},
        "size": {"type": "integer", "minimum": 0, "maximum": 99},
        "round": {"type": "boolean"},
    },
    "required": ["colour", "size", "round"],
    "additionalProperties": False,
}
DRAWN = Sampling(temperature=1.0, seed=3)


def grammar(rules: str) -> str:
    return asyncio.run(grammar_of(rules))


OBJECT = grammar(f"start: {json_of(SCHEMA)}")


@pytest.fixture(scope="module")
def tokenizer_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module")
def tokenizer(tokenizer_dir: Path) -> Tokenizer:
    return Tokenizer.from_file(str(tokenizer_dir / "tokenizer.json"))


@pytest.fixture
def engine(build: BuildEngine, tokenizer_dir: Path) -> TransformersEngine:
    return over(build().model, tokenizer_dir)


def over(model: Any, tokenizer_dir: Path) -> TransformersEngine:
    return TransformersEngine(
        model, max_sequences=4, max_context=CONTEXT, prompt_budget=SMALL_CHUNKS, model_dir=tokenizer_dir
    )


def held(request_id: str, sampling: Sampling = DRAWN, held_to: str = OBJECT, **changes: Any) -> GenerationRequest:
    plain = request(request_id, prompt(9), 400, sampling, stop=frozenset({END}))
    return replace(plain, grammar=held_to, **changes)


def test_a_random_model_writes_a_valid_object_and_stops(engine: TransformersEngine, tokenizer: Tokenizer) -> None:
    for seed in range(5):
        answers = run(engine, held("a", Sampling(seed=seed)))
        made = json.loads(tokenizer.decode(answers.tokens["a"]))
        assert list(made) == ["colour", "size", "round"]
        assert made["colour"] in ("red", "blue")
        assert 0 <= made["size"] <= 99
        assert answers.finish == {"a": "stop"}


def test_the_likeliest_tokens_are_held_to_the_grammar_too(engine: TransformersEngine, tokenizer: Tokenizer) -> None:
    answers = run(engine, held("a", GREEDY, grammar('start: "yes" | "no"')))
    assert tokenizer.decode(answers.tokens["a"]) in ("yes", "no")
    assert answers.finish == {"a": "stop"}


def test_a_free_row_is_the_same_beside_a_held_one(engine: TransformersEngine) -> None:
    free = request("free", prompt(12), 40, DRAWN)
    alone = run(engine, free).tokens["free"]
    held_alone = run(engine, held("held")).tokens["held"]
    together = run(engine, free, held("held"), joining={4: held("late", Sampling(seed=9))})
    assert together.tokens["free"] == alone
    assert together.tokens["held"] == held_alone, "a seed gives another answer in a batch"
    assert together.failures == {}


def test_an_answer_ends_by_itself_where_nothing_may_follow_even_without_stop_tokens(
    engine: TransformersEngine, tokenizer: Tokenizer
) -> None:
    answers = run(engine, held("a", stop_token_ids=frozenset()))
    assert json.loads(tokenizer.decode(answers.tokens["a"]))
    assert END not in answers.tokens["a"]
    assert answers.finish == {"a": "stop"}


def test_a_stop_token_comes_only_where_the_grammar_may_end(engine: TransformersEngine, tokenizer: Tokenizer) -> None:
    digits = grammar("start: /[0-9]{3,}/")
    for seed in range(5):
        # the likeliest token of all, were it allowed at once
        stop = held("a", Sampling(seed=seed), digits)
        answers = run(engine, stop)
        assert len(answers.tokens["a"]) >= 3
        assert tokenizer.decode(answers.tokens["a"]).isdigit()


def test_an_answer_may_be_cut_by_its_limit(engine: TransformersEngine) -> None:
    answers = run(engine, held("a", max_tokens=3))
    assert len(answers.tokens["a"]) == 3
    assert answers.finish == {"a": "length"}


def test_a_grammar_that_cannot_be_compiled_fails_its_request_alone(engine: TransformersEngine) -> None:
    answers = run(engine, held("bad", held_to='{"grammars": [{"lark_grammar": "start: nowhere"}]}'), held("good"))
    assert "nowhere" in answers.failures["bad"]
    assert answers.finish == {"good": "stop"}
    assert engine.stats().running == 0


def test_an_engine_without_a_tokenizer_refuses_grammars(build: BuildEngine) -> None:
    with pytest.raises(RequestFailed, match="no tokenizer"):
        build().submit(held("a"))


def test_a_directory_without_a_tokenizer_fails_the_request_alone(build: BuildEngine, tmp_path: Path) -> None:
    answers = run(over(build().model, tmp_path), held("a"), request("free", prompt(5), 3))
    assert "tokenizer" in answers.failures["a"]
    assert answers.finish == {"free": "length"}


def test_a_step_that_is_repeated_one_by_one_moves_no_grammar_on_twice(
    build: BuildEngine, tokenizer_dir: Path, poisoned_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = over(build(model_dir=poisoned_dir).model, tokenizer_dir)
    expected = run(engine, held("good")).tokens["good"]
    original = engine_module.choose
    calls = iter(range(10_000))

    def fails_at_times(logits: torch.Tensor, *rest: Any) -> list[int | None]:
        if logits.shape[0] > 1 and next(calls) % 3 == 0:
            raise RuntimeError("out of luck")
        return original(logits, *rest)

    monkeypatch.setattr(engine_module, "choose", fails_at_times)
    bad = request("bad", (*prompt(20), POISON), 10)
    answers = run(engine, held("good", GREEDY), held("second", GREEDY), bad)
    assert answers.finish == {"good": "stop", "second": "stop"}
    assert answers.tokens["good"] == answers.tokens["second"]
    monkeypatch.undo()
    assert run(engine, held("good")).tokens["good"] == expected


def test_a_stop_token_that_is_a_part_of_the_text_ends_the_answer_there(
    engine: TransformersEngine, tokenizer: Tokenizer
) -> None:
    (quote,) = tokenizer.encode('"', add_special_tokens=False).ids
    answers = run(engine, held("a", stop_token_ids=frozenset({quote})))
    assert answers.finish == {"a": "stop"}
    assert quote not in answers.tokens.get("a", ())


class Held:
    """Grammars that a test lets through one by one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun: list[str] = []
        self.go_on = threading.Semaphore(0)
        original = Constraints.compile

        def compile_when_told(constraints: Constraints, text: str) -> LLMatcher:
            self.begun.append(text)
            assert self.go_on.acquire(timeout=60)
            return original(constraints, text)

        monkeypatch.setattr(Constraints, "compile", compile_when_told)

    def through(self, engine: TransformersEngine) -> None:
        """Let one grammar be compiled, and wait for it."""
        self.go_on.release()
        deadline = time.monotonic() + 60
        while not engine.can_step:
            assert time.monotonic() < deadline
            time.sleep(0.001)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Held:
    return Held(monkeypatch)


def made_by(engine: TransformersEngine, steps: int) -> Answers:
    """What a few steps make."""
    answers = Answers()
    for _ in range(steps):
        outcome = engine.step()
        for request_id, chunk in outcome.chunks.items():
            answers.tokens[request_id] = answers.tokens.get(request_id, ()) + chunk.token_ids
        answers.failures.update(outcome.failures)
    return answers


def test_others_go_on_while_a_grammar_is_compiled(engine: TransformersEngine, slow: Held) -> None:
    engine.submit(request("free", prompt(5), 400))
    engine.submit(held("held"))
    engine.submit(request("late", prompt(5), 400))
    made = made_by(engine, 10)
    assert made.tokens.keys() == {"free", "late"}
    assert len(made.tokens["free"]) >= 9
    assert (engine.stats().running, engine.stats().waiting) == (2, 1)
    slow.go_on.release()
    answers = run(engine)
    assert answers.finish["held"] == "stop"


def test_an_engine_that_only_compiles_has_nothing_to_step_through(engine: TransformersEngine, slow: Held) -> None:
    engine.submit(held("held"))
    assert engine.can_step, "nobody would begin to compile"
    engine.step()
    assert not engine.can_step, "the engine's process would run in circles"
    assert engine.has_work
    slow.through(engine)
    assert run(engine).finish == {"held": "stop"}


def test_a_request_that_leaves_while_its_grammar_is_compiled_is_gone(engine: TransformersEngine, slow: Held) -> None:
    engine.submit(held("first"))
    engine.submit(held("second", held_to=grammar('start: "yes" | "no"')))
    engine.step()
    engine.cancel("first")
    assert engine.stats().waiting == 1
    engine.cancel("second")
    assert (engine.stats().waiting, engine.has_work) == (0, False)
    slow.through(engine)
    assert made_by(engine, 3).tokens == {}
    assert slow.begun == [OBJECT], "a grammar that nobody asks for is compiled"


def test_compiled_grammars_of_waiting_requests_are_bounded(engine: TransformersEngine, slow: Held) -> None:
    """Each may be megabytes, and hundreds of requests may wait."""
    for number in range(4):
        engine.submit(request(f"free-{number}", prompt(5), 400))
    for number in range(MOST_KEPT + 4):
        engine.submit(held(f"held-{number}", held_to=grammar(f'start: "{number}"')))
        slow.go_on.release()
    for _ in range(50):
        engine.step()
        time.sleep(0.002)
    assert len(slow.begun) <= MOST_KEPT + 1
    answers = run(engine)
    assert sum(finish == "stop" for finish in answers.finish.values()) == MOST_KEPT + 4
