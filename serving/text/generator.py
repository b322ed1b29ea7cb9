"""Text from an engine that knows tokens only: detokenized, cut at stop strings, counted."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from serving.engines.protocol import Engine, FinishReason, GenerationRequest, RequestFailed, Sampling, TokenChunk
from serving.metrics import ServiceMetrics
from serving.text.detokenizer import Detokenizer
from serving.text.stop_strings import StopStrings
from serving.text.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class TextRequest:
    """One text to generate."""

    model: str
    """The model id that the caller asked for; a label of the metrics."""
    prompt_token_ids: tuple[int, ...]
    max_tokens: int
    sampling: Sampling
    stop: tuple[str, ...] = ()
    """Strings at which the text ends; they are not part of it."""
    stop_token_ids: frozenset[int]


@dataclass(frozen=True, slots=True)
class TextChunk:
    """New text; the last chunk has a finish reason and may have no text."""

    text: str
    completion_tokens: int
    """Tokens made so far, those included whose text was held back or cut off."""
    finish_reason: FinishReason | None = None


class TextGenerator:
    """Generates text. Closing the iterator of `generate` cancels the request in the engine."""

    def __init__(self, engine: Engine, tokenizer: Tokenizer, metrics: ServiceMetrics) -> None:
        self._engine = engine
        self._tokenizer = tokenizer
        self._metrics = metrics

    async def generate(self, request: TextRequest) -> AsyncGenerator[TextChunk]:
        """Text as it is made, at least one chunk; raises what `Engine.generate` raises."""
        detokenizer = Detokenizer(self._tokenizer.decode, request.prompt_token_ids)
        stops = StopStrings(request.stop)
        completion_tokens = 0
        finish_reason: FinishReason | None = None
        async with _closing(self._observed(request)) as chunks:
            async for chunk in chunks:
                text = ""
                for token_id in chunk.token_ids:
                    completion_tokens += 1
                    text += stops.push(detokenizer.push(token_id))
                    if stops.stopped:
                        break
                finish_reason = "stop" if stops.stopped else chunk.finish_reason
                if finish_reason:
                    break
                if text:
                    yield TextChunk(text, completion_tokens)
            else:
                raise RequestFailed("the engine ended the request without a finish reason")
        # Only here, with the engine's iterator closed: after a stop string the engine is still making tokens, and a
        # client that reads slowly must not keep it at that.
        if not stops.stopped:
            text += stops.push(detokenizer.flush())
            finish_reason = "stop" if stops.stopped else finish_reason
            text += stops.flush()
        yield TextChunk(text, completion_tokens, finish_reason)

    async def _observed(self, request: TextRequest) -> AsyncGenerator[TokenChunk]:
        """The engine's chunks, with their timing recorded."""
        metrics = self._metrics.for_model(request.model)
        admitted = False
        last: float | None = None
        started = time.monotonic()
        async with _closing(self._engine.generate(self._engine_request(request))) as chunks:
            async for chunk in chunks:
                if not admitted:
                    # Not before: a request that was turned away has cost nothing.
                    admitted = True
                    metrics.prompt_tokens.inc(len(request.prompt_token_ids))
                if tokens := len(chunk.token_ids):
                    now = time.monotonic()
                    metrics.generation_tokens.inc(tokens)
                    if last is None:
                        metrics.time_to_first_token.observe(now - started)
                    else:
                        metrics.inter_token_latency.observe((now - last) / tokens)
                    last = now
                yield chunk

    def _engine_request(self, request: TextRequest) -> GenerationRequest:
        return GenerationRequest(
            id=uuid.uuid4().hex,
            prompt_token_ids=request.prompt_token_ids,
            max_tokens=request.max_tokens,
            sampling=request.sampling,
            stop_token_ids=request.stop_token_ids,
        )


@asynccontextmanager
async def _closing(iterator: AsyncIterator[TokenChunk]) -> AsyncIterator[AsyncIterator[TokenChunk]]:
    """contextlib.aclosing for the engine protocol's iterators, which may be other than generators."""
    try:
        yield iterator
    finally:
        if (aclose := getattr(iterator, "aclose", None)) is not None:
            await aclose()
