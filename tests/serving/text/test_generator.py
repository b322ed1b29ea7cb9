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
from serving.text.generator import TextChunk, TextGenerator, TextRequest
from serving.text.tokenizer import ModelTokenizer
from tests.serving.api.scripted_engine import ScriptedEngine

WORDS = st.sampled_from(["one ", "two", " three", "\n", "👩‍🚀", "你好", "."])


def generate(engine: ScriptedEngine, tokenizer: ModelTokenizer, *stop: str) -> list[TextChunk]:
    request = TextRequest(
        model="smollm2",
        prompt_token_ids=(504,),
        max_tokens=100,
        sampling=Sampling(),
        stop=stop,
        stop_token_ids=frozenset({2}),
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
