"""What the engine has made for one request and its consumer has not taken yet."""

from __future__ import annotations

import asyncio

from serving.engines.protocol import FinishReason, TokenChunk, TokenLogprobs


class TokenStream:
    """One producer, one consumer, one event loop. A slow consumer gets several steps' tokens as one chunk."""

    def __init__(self) -> None:
        self._tokens: list[int] = []
        self._logprobs: list[TokenLogprobs] = []
        self._reused_prompt_tokens = 0
        self._finish_reason: FinishReason | None = None
        self._error: Exception | None = None
        self._news = asyncio.Event()

    def put(self, chunk: TokenChunk) -> None:
        self._tokens.extend(chunk.token_ids)
        self._logprobs.extend(chunk.logprobs)
        self._reused_prompt_tokens += chunk.reused_prompt_tokens
        self._finish_reason = chunk.finish_reason
        self._news.set()

    def fail(self, error: Exception) -> None:
        """The consumer gets what was made before, then `error`."""
        self._error = error
        self._news.set()

    async def next(self) -> TokenChunk:
        """All tokens since the last call, waiting for the first. Not called again after the finish reason."""
        await self._news.wait()
        self._news.clear()
        if not self._tokens and self._finish_reason is None and self._error is not None:
            raise self._error
        chunk = TokenChunk(tuple(self._tokens), self._finish_reason, tuple(self._logprobs), self._reused_prompt_tokens)
        self._reused_prompt_tokens = 0
        self._tokens.clear()
        self._logprobs.clear()
        if self._error is not None:
            self._news.set()
        return chunk
