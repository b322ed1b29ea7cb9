"""Tokens become text, and the engine's work ends with the text."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as ReferenceTokenizer

from serving.engines.protocol import FinishReason, RequestFailed, Sampling, TokenChunk
from serving.metrics import ServiceMetrics
from serving.text.answer_text import TextToken
from serving.text.generator import TextChunk, TextGenerator, TextRequest
from serving.text.tokenizer import ModelTokenizer
from tests.serving.api.scripted_engine import ScriptedEngine, logprobs_of

WORDS = st.sampled_from(["one ", "two", " three", "\n", "👩‍🚀", "你好", "."])


def generate(
    engine: ScriptedEngine,
    tokenizer: ModelTokenizer,
    *stop: str,
    min_tokens: int = 0,
    logprobs: int | None = None,
) -> list[TextChunk]:
    request = TextRequest(
        model="smollm2",
        prompt_token_ids=(504,),
        max_tokens=100,
        sampling=Sampling(),
        stop=stop,
        stop_token_ids=frozenset({2}),
        min_tokens=min_tokens,
        logprobs=logprobs,
    )

    async def collect() -> list[TextChunk]:
        return [chunk async for chunk in TextGenerator(engine, tokenizer, ServiceMetrics()).generate(request)]

    return asyncio.run(collect())


def cut(token_ids: list[int], places: list[int]) -> list[list[int]]:
    bounds = [0, *sorted(place % (len(token_ids) + 1) for place in places), len(token_ids)]
    return [token_ids[start:end] for start, end in pairwise(bounds)]


@given(
    words=st.lists(WORDS, max_size=15),
    stop=st.sampled_from([(), ("two",), ("好\n",), ("🚀", "three")]),
    places=st.lists(st.integers(0, 100), max_size=8),
    reason=st.sampled_from(["stop", "length"]),
)
def test_text_and_reason_do_not_depend_on_how_the_engine_cuts_its_tokens(
    smollm2_tokenizer: ModelTokenizer,
    reference_tokenizer: ReferenceTokenizer,
    words: list[str],
    stop: tuple[str, ...],
    places: list[int],
    reason: FinishReason,
) -> None:
    text = "".join(words)
    token_ids = reference_tokenizer.encode(text).ids
    engine = ScriptedEngine()
    engine.says(*cut(token_ids, places), finish_reason=reason)
    chunks = generate(engine, smollm2_tokenizer, *stop)
    ends = [text.find(word) for word in stop if word in text]
    assert "".join(chunk.text for chunk in chunks) == text[: min(ends, default=len(text))]
    assert chunks[-1].finish_reason == ("stop" if ends else reason)
    assert all(chunk.finish_reason is None and chunk.text for chunk in chunks[:-1])
    assert chunks[-1].completion_tokens <= len(token_ids)
    assert ends or chunks[-1].completion_tokens == len(token_ids)
    assert engine.running == 0


def test_an_answer_of_no_tokens_is_one_chunk(smollm2_tokenizer: ModelTokenizer) -> None:
    engine = ScriptedEngine()
    engine.says(finish_reason="length")
    assert generate(engine, smollm2_tokenizer) == [TextChunk("", 0, "length")]


def test_an_engine_that_just_ends_has_failed(smollm2_tokenizer: ModelTokenizer) -> None:
    engine = ScriptedEngine()
    engine.script = lambda _: [TokenChunk((504,))]
    with pytest.raises(RequestFailed, match="without a finish reason"):
        generate(engine, smollm2_tokenizer)


@given(
    words=st.lists(WORDS, max_size=15),
    stop=st.sampled_from([(), ("two",), ("好\n",), ("🚀", "three")]),
    places=st.lists(st.integers(0, 100), max_size=8),
)
def test_tokens_come_with_their_text_and_go_with_what_is_cut_off(
    smollm2_tokenizer: ModelTokenizer,
    reference_tokenizer: ReferenceTokenizer,
    words: list[str],
    stop: tuple[str, ...],
    places: list[int],
) -> None:
    token_ids = reference_tokenizer.encode("".join(words)).ids
    engine = ScriptedEngine()
    engine.says(*cut(token_ids, places))
    chunks = generate(engine, smollm2_tokenizer, *stop, logprobs=2)
    text = "".join(chunk.text for chunk in chunks)
    starts = [len(reference_tokenizer.decode(token_ids[:place]).rstrip("\ufffd")) for place in range(len(token_ids))]
    stopped = len(text) < len("".join(words))
    expected = [
        TextToken(token_id, start, logprobs_of(token_id, 2))
        for token_id, start in zip(token_ids, starts, strict=True)
        if start < len(text) or not stopped
    ]
    assert [token for chunk in chunks for token in chunk.tokens] == expected
    sent, told = 0, 0
    for chunk in chunks[:-1]:
        sent += len(chunk.text)
        told += len(chunk.tokens)
        assert told == sum(token.offset < sent for token in expected), "tokens come with their text"


def test_a_token_stands_where_its_text_begins(
    smollm2_tokenizer: ModelTokenizer, reference_tokenizer: ReferenceTokenizer
) -> None:
    engine = ScriptedEngine()
    token_ids = reference_tokenizer.encode("one 👩 two").ids
    engine.says(token_ids)
    chunks = generate(engine, smollm2_tokenizer, logprobs=0)
    text = "".join(chunk.text for chunk in chunks)
    offsets = [token.offset for chunk in chunks for token in chunk.tokens]
    woman = len(reference_tokenizer.encode(" 👩").ids) - 1
    assert text == "one 👩 two"
    assert offsets in ([0, 3, *[4] * woman, 5], [0, *[3] * (woman + 1), 5])


def test_special_tokens_without_text_come_at_the_end_at_the_latest(
    smollm2_tokenizer: ModelTokenizer, reference_tokenizer: ReferenceTokenizer
) -> None:
    engine = ScriptedEngine()
    (word,) = reference_tokenizer.encode("one").ids
    engine.says([word], [0], [0])
    chunks = generate(engine, smollm2_tokenizer, logprobs=0)
    assert [token.token_id for chunk in chunks for token in chunk.tokens] == [word, 0, 0]


def test_stop_strings_are_not_looked_for_before_the_least_number_of_tokens(
    smollm2_tokenizer: ModelTokenizer, reference_tokenizer: ReferenceTokenizer
) -> None:
    engine = ScriptedEngine()
    engine.says(reference_tokenizer.encode("one two one two three").ids)
    chunks = generate(engine, smollm2_tokenizer, " two", min_tokens=3)
    assert "".join(chunk.text for chunk in chunks) == "one two one"
    assert engine.requests[0].min_tokens == 3
