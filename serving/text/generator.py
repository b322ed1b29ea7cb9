"""Text from an engine that knows tokens only: detokenized, cut at stop strings, counted."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from serving.callers.call import Call, current_call
from serving.callers.errors import RequestTimedOut
from serving.engines.protocol import (
    AdapterUse,
    Engine,
    FinishReason,
    GenerationRequest,
    RequestFailed,
    Sampling,
    TokenChunk,
)
from serving.metrics import GenerationRecord, ServiceMetrics
from serving.text.answer_text import AnswerText, TextToken
from serving.text.tokenizer import Tokenizer

_Item = TypeVar("_Item")


@dataclass(frozen=True, kw_only=True)
class TextRequest:
    """One text to generate."""

    model: str
    """The model's id; a label of the metrics."""
    adapter: Callable[[], AdapterUse | None] = lambda: None
    """What is added to the engine's model; asked when the engine is, since it may change until then."""
    prompt_token_ids: tuple[int, ...]
    max_tokens: int
    sampling: Sampling
    stop: tuple[str, ...] = ()
    """Strings at which the text ends; they are not part of it."""
    stop_token_ids: frozenset[int]
    min_tokens: int = 0
    """Tokens before which neither a stop token nor a stop string ends the text."""
    logprobs: int | None = None
    """As in `GenerationRequest`."""
    prompt_is_paid: bool = False
    """The caller's usage has this prompt already, since another choice of the same answer begins with it."""
    grammar: str | None = None
    """What the text is held to, as GenerationRequest has it."""
    shown_token_ids: frozenset[int] = frozenset()
    """Special tokens that are part of the text all the same, since something in it is known by them."""


@dataclass(frozen=True, slots=True)
class TextChunk:
    """New text; the last chunk has a finish reason and may have no text."""

    text: str
    completion_tokens: int
    """Tokens made so far, those included whose text was held back or cut off."""
    finish_reason: FinishReason | None = None
    tokens: tuple[TextToken, ...] = ()
    """The tokens of the text, if the request asked for log probabilities."""
    reused_prompt_tokens: int = 0
    """Of the prompt, those that were not computed, since the engine still had them."""


class TextGenerator:
    """Generates text. Closing the iterator of `generate` cancels the request in the engine."""

    def __init__(self, engine: Engine, tokenizer: Tokenizer, metrics: ServiceMetrics) -> None:
        self._engine = engine
        self._tokenizer = tokenizer
        self._metrics = metrics

    def capacity(self) -> int:
        """Texts at the same time, those that wait included."""
        return self._engine.capacity()

    async def generate(self, request: TextRequest) -> AsyncGenerator[TextChunk]:
        """Text as it is made, at least one chunk; raises what `Engine.generate` raises, and CallRefused."""
        record = self._metrics.generation(request.model, len(request.prompt_token_ids))
        decode = partial(self._tokenizer.decode, shown=request.shown_token_ids)
        answer = AnswerText(decode, request.prompt_token_ids, request.stop, min_tokens=request.min_tokens)
        text = ""
        reused = 0
        finish_reason: FinishReason | None = None
        async with _closing(self._observed(request, record, answer)) as chunks:
            async for chunk, text in chunks:
                reused += chunk.reused_prompt_tokens
                finish_reason = "stop" if answer.stopped else chunk.finish_reason
                if finish_reason:
                    break
                if text:
                    yield TextChunk(text, answer.tokens, tokens=answer.take_tokens(), reused_prompt_tokens=reused)
            else:
                raise RequestFailed("the engine ended the request without a finish reason")
        # Only here, with the engine's iterator closed: after a stop string the engine is still making tokens, and a
        # client that reads slowly must not keep it at that.
        text += answer.end()
        finish_reason = "stop" if answer.stopped else finish_reason
        record.finish(finish_reason)
        yield TextChunk(text, answer.tokens, finish_reason, answer.take_tokens(), reused)

    async def _observed(
        self, request: TextRequest, record: GenerationRecord, answer: AnswerText
    ) -> AsyncGenerator[tuple[TokenChunk, str]]:
        """The engine's chunks and their text, recorded and charged to the caller as far as `answer` counts them."""
        call = current_call()
        prompt_tokens = 0 if request.prompt_is_paid else len(request.prompt_token_ids)
        with call.spending(request.model, prompt_tokens) as spending:
            async with _closing(self._engine.generate(self._engine_request(request))) as chunks:
                while (chunk := await _next_in_time(chunks, call)) is not None:
                    if not spending.admitted:
                        spending.admit()
                        record.admit()
                    before = answer.tokens
                    text = _text_of(chunk, answer)
                    if tokens := answer.tokens - before:
                        spending.make(tokens)
                        record.make(tokens)
                    yield chunk, text

    def _engine_request(self, request: TextRequest) -> GenerationRequest:
        return GenerationRequest(
            id=uuid.uuid4().hex,
            prompt_token_ids=request.prompt_token_ids,
            max_tokens=request.max_tokens,
            sampling=request.sampling,
            adapter=request.adapter(),
            stop_token_ids=request.stop_token_ids,
            min_tokens=request.min_tokens,
            logprobs=request.logprobs,
            grammar=request.grammar,
            client=current_call().client,
        )


def _text_of(chunk: TokenChunk, answer: AnswerText) -> str:
    """The text that a chunk's tokens complete, up to a stop string."""
    text = ""
    for place, token_id in enumerate(chunk.token_ids):
        text += answer.push(token_id, chunk.logprobs[place] if chunk.logprobs else None)
        if answer.stopped:
            break
    return text


async def _next_in_time(chunks: AsyncIterator[TokenChunk], call: Call) -> TokenChunk | None:
    """The next chunk, None after the last; raises RequestTimedOut at the call's deadline, with `chunks` ended."""
    # Around each chunk and not around all: chunks are taken by one task after another.
    limit = asyncio.timeout_at(call.deadline)
    try:
        async with limit:
            return await anext(chunks)
    except StopAsyncIteration:
        return None
    except TimeoutError:
        if not limit.expired():
            raise  # the engine's own
        raise RequestTimedOut(
            f"The request was not answered within {call.timeout_seconds:g} s, the limit of this service "
            "(requestTimeoutSeconds), and was ended. Ask for fewer tokens, or come back when fewer others do."
        ) from None


@asynccontextmanager
async def _closing(iterator: AsyncIterator[_Item]) -> AsyncIterator[AsyncIterator[_Item]]:
    """contextlib.aclosing for the engine protocol's iterators, which may be other than generators."""
    try:
        yield iterator
    finally:
        if (aclose := getattr(iterator, "aclose", None)) is not None:
            await aclose()
