"""What a consumer gets of what the engine makes."""

from __future__ import annotations

import asyncio

import pytest

from serving.engines.process.token_stream import TokenStream
from serving.engines.protocol import EngineUnavailable, TokenChunk, TokenLogprobs


@pytest.mark.asyncio
async def test_a_slow_consumer_gets_what_has_piled_up_as_one_chunk() -> None:
    stream = TokenStream()
    stream.put(TokenChunk((1,)))
    stream.put(TokenChunk((2,)))
    assert await stream.next() == TokenChunk((1, 2))
    stream.put(TokenChunk((3,)))
    stream.put(TokenChunk((), "stop"))
    assert await stream.next() == TokenChunk((3,), "stop")


@pytest.mark.asyncio
async def test_log_probabilities_stay_beside_their_tokens() -> None:
    stream = TokenStream()
    first, second, third = (TokenLogprobs(-float(number), ((number, -0.5),)) for number in (1, 2, 3))
    stream.put(TokenChunk((1,), None, (first,)))
    stream.put(TokenChunk((2,), None, (second,)))
    assert await stream.next() == TokenChunk((1, 2), None, (first, second))
    stream.put(TokenChunk((3,), "length", (third,)))
    assert await stream.next() == TokenChunk((3,), "length", (third,))


@pytest.mark.asyncio
async def test_what_was_reused_of_the_prompt_is_told_once() -> None:
    stream = TokenStream()
    stream.put(TokenChunk((1,), reused_prompt_tokens=7))
    stream.put(TokenChunk((2,)))
    assert await stream.next() == TokenChunk((1, 2), reused_prompt_tokens=7)
    stream.put(TokenChunk((3,)))
    assert await stream.next() == TokenChunk((3,))


@pytest.mark.asyncio
async def test_a_waiting_consumer_is_woken() -> None:
    stream = TokenStream()
    waiting = asyncio.create_task(stream.next())
    await asyncio.sleep(0)
    assert not waiting.done()
    stream.put(TokenChunk((1,)))
    assert await waiting == TokenChunk((1,))


@pytest.mark.asyncio
async def test_tokens_from_before_a_failure_are_not_lost() -> None:
    stream = TokenStream()
    stream.put(TokenChunk((1,)))
    stream.fail(EngineUnavailable("gone"))
    assert await stream.next() == TokenChunk((1,))
    with pytest.raises(EngineUnavailable):
        await stream.next()
