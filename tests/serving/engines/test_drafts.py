"""Drafts make several tokens of one step, and never others than steps for each would make."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from serving.engines.protocol import GenerationRequest, Sampling, TokenChunk
from serving.engines.transformers_engine.drafts import LONGEST, Lookup, lookup_for, with_drafts
from serving.engines.transformers_engine.engine import TransformersEngine
from serving.engines.transformers_engine.schedule import Chunk, Sequence
from tests.serving.engines.conftest import BuildEngine
from tests.serving.engines.driving import GREEDY, request, run
from tests.serving.engines.tiny_models import prompt

REPEATING = prompt(7) * 4
CONTEXT = 100
TWO_TOKENS = Sampling(temperature=0, logit_bias={11: 100.0, 22: 100.0})
"""What a model with random weights writes hardly repeats itself; of two tokens it must."""


def decoding(slot: int, *, max_tokens: int = 16, min_tokens: int = 0) -> Chunk:
    """A sequence that has read a repeating prompt and made one token."""
    one = request(f"slot-{slot}", REPEATING, max_tokens, min_tokens=min_tokens)
    tokens = [*REPEATING, REPEATING[0]]
    return Chunk(Sequence(one, slot, tokens, random.Random(0), len(REPEATING), lookup=lookup_for(one)), 1)


def drafts(chunks: list[Chunk], rows: int = 8, context: int = CONTEXT) -> list[int]:
    return [len(chunk.draft) for chunk in with_drafts(chunks, rows, context)]


def test_what_followed_the_last_time_is_guessed() -> None:
    lookup = Lookup()
    tokens = [1, 2, 3, 4, 9, 2, 3, 5, 2, 3]
    assert lookup.draft(tokens, 2) == (5, 2), "the later of two places"
    assert lookup.draft([*tokens, 4], 2) == (9, 2), "three tokens alike go before two"
    assert lookup.draft([*tokens, 4, 6], 2) == ()


def test_what_comes_in_a_circle_is_guessed_on() -> None:
    assert Lookup().draft([8, 9, 9, 9, 9], 4) == (9, 9, 9, 9)
    assert Lookup().draft([1, 2, 3, 1, 2], 4) == (3, 1, 2, 3)


def test_nothing_is_guessed_where_nothing_repeats() -> None:
    assert Lookup().draft(list(range(50)), 4) == ()
    assert Lookup().draft([7], 4) == ()


def test_sequences_share_the_rows_of_a_step() -> None:
    assert drafts([decoding(0)]) == [LONGEST]
    assert drafts([decoding(slot) for slot in range(3)]) == [1, 2, 2]
    assert drafts([decoding(slot) for slot in range(8)]) == [0] * 8
    assert drafts([decoding(slot) for slot in range(20)]) == [0] * 20


def test_a_prompt_that_waits_is_not_delayed_by_drafts() -> None:
    reading = Sequence(request("long", prompt(30)), 1, list(prompt(30)), random.Random(0))
    assert drafts([decoding(0), Chunk(reading, 5)]) == [0, 0]


def test_no_more_is_guessed_than_the_request_may_have() -> None:
    assert drafts([decoding(0, max_tokens=4)]) == [2], "one token is there, and the step makes one anyhow"
    assert drafts([decoding(0, max_tokens=2)]) == [0]
    assert drafts([decoding(0)], context=len(REPEATING) + 3) == [1]
    assert drafts([decoding(0, min_tokens=9)]) == [0]


@pytest.mark.parametrize(
    ("sampling", "guessed"),
    [
        (GREEDY, True),
        (Sampling(temperature=0.7, top_p=0.9), True),
        (Sampling(temperature=0, seed=3), True),
        (Sampling(temperature=0.7, seed=3), False),
        (Sampling(temperature=0, repetition_penalty=1.1), False),
        (Sampling(temperature=0, presence_penalty=0.5), False),
        (Sampling(temperature=0, frequency_penalty=0.5), False),
    ],
)
def test_who_gets_drafts(sampling: Sampling, guessed: bool) -> None:
    assert (lookup_for(request("a", prompt(5), sampling=sampling)) is not None) == guessed


def test_a_completion_held_to_a_grammar_gets_none() -> None:
    assert lookup_for(GenerationRequest(id="a", prompt_token_ids=(1,), max_tokens=4, grammar="{}")) is None


def steps_of(engine: TransformersEngine, one: GenerationRequest) -> int:
    engine.submit(one)
    steps = 0
    while engine.has_work:
        engine.step()
        steps += 1
    return steps


def test_drafts_save_steps_and_change_no_token(build: BuildEngine) -> None:
    drafting, plain = build(), build(draft_rows=0)
    one = request("a", REPEATING, max_tokens=60, sampling=TWO_TOKENS, logprobs=2)
    with_them, without = run(drafting, one), run(plain, one)
    assert with_them.tokens == without.tokens
    assert [told.logprob for told in with_them.logprobs["a"]] == pytest.approx(
        [told.logprob for told in without.logprobs["a"]], abs=1e-4
    )
    assert steps_of(drafting, one) < 0.6 * steps_of(plain, one)
    stats = drafting.stats()
    assert 0 < stats.accepted_draft_tokens <= stats.draft_tokens
    assert stats.generated_tokens == 2 * 60
    assert plain.stats().draft_tokens == 0


def test_drawn_tokens_are_those_of_the_same_numbers(build: BuildEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were a draft taken for more than a guess, its tokens would come more often than their probability."""
    monkeypatch.setattr(random.Random, "random", lambda _self: 0.4)
    drafting = build()
    one = request("a", REPEATING, max_tokens=60, sampling=replace(TWO_TOKENS, temperature=2.0))
    assert run(drafting, one).tokens == run(build(draft_rows=0), one).tokens
    stats = drafting.stats()
    assert 0 < stats.accepted_draft_tokens < stats.draft_tokens


def test_a_sequence_ends_at_a_stop_token_that_was_guessed(build: BuildEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    unstopped = run(build(draft_rows=0), request("a", REPEATING)).tokens["a"]
    stop = next(token for token in unstopped[2:] if token not in unstopped[:2])
    place = unstopped.index(stop)
    monkeypatch.setattr(Lookup, "draft", lambda _self, tokens, most: unstopped[len(tokens) - len(REPEATING) :][:most])
    engine = build()
    engine.submit(request("a", REPEATING, stop=frozenset({stop})))
    chunks: list[TokenChunk] = []
    while engine.has_work:
        chunks += engine.step().chunks.values()
    assert sum((chunk.token_ids for chunk in chunks), ()) == unstopped[:place]
    assert 1 < len(chunks) <= place, "the stop token came in a step of its own"
    assert chunks[-1].finish_reason == "stop"


@pytest.mark.parametrize("max_tokens", range(20, 30))
def test_a_sequence_ends_at_max_tokens_whatever_was_guessed(build: BuildEngine, max_tokens: int) -> None:
    answers = run(build(max_context=64), request("a", REPEATING, max_tokens=max_tokens, sampling=TWO_TOKENS))
    assert len(answers.tokens["a"]) == max_tokens


def test_a_sequence_fills_the_context_whatever_was_guessed(build: BuildEngine) -> None:
    for context in range(40, 50):
        answers = run(build(max_context=context), request("a", REPEATING, max_tokens=1000, sampling=TWO_TOKENS))
        assert len(answers.tokens["a"]) == context - len(REPEATING)


def test_what_a_wrong_guess_left_in_the_cache_is_found_by_nobody(build: BuildEngine) -> None:
    """The slot's next owner reuses what steps with right and wrong guesses wrote, and goes on otherwise."""
    engine = build(max_sequences=1)
    made = run(engine, request("a", REPEATING, max_tokens=50, sampling=TWO_TOKENS)).tokens["a"]
    stats = engine.stats()
    assert 0 < stats.accepted_draft_tokens < stats.draft_tokens
    other = (*REPEATING, *made[:40], *prompt(5))
    assert run(engine, request("b", other)).tokens == run(build(), request("b", other)).tokens
    assert engine.stats().reused_prompt_tokens == len(REPEATING) + 40
