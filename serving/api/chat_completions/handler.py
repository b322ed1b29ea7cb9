"""Chat completions: OpenAI's objects in and out; knows the engine's text, not HTTP and not Ray."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from serving.api.chat_completions.protocol import (
    AnswerMessage,
    ChatChoice,
    ChatCompletion,
    ChatCompletionChunk,
    ChatCompletionRequest,
    ChatDelta,
    ChunkChoice,
)
from serving.api.generation import AnswerIdentity, Generation
from serving.api.usage import Usage
from serving.engines.protocol import FinishReason
from serving.text.generator import TextRequest


class ChatCompletions:
    """Answers conversations."""

    def __init__(self, generation: Generation) -> None:
        self._generation = generation

    async def create(self, request: ChatCompletionRequest) -> ChatCompletion:
        """The whole answer at once."""
        prepared = await self._prepare(request)
        identity = AnswerIdentity("chatcmpl")
        text, tokens = "", 0
        finish_reason: FinishReason = "stop"
        async with aclosing(self._generation.generator.generate(prepared)) as chunks:
            async for chunk in chunks:
                text += chunk.text
                tokens = chunk.completion_tokens
                finish_reason = chunk.finish_reason or finish_reason
        return ChatCompletion(
            id=identity.id,
            created=identity.created,
            model=request.model,
            choices=[ChatChoice(message=AnswerMessage(content=text), finish_reason=finish_reason)],
            usage=Usage.of(len(prepared.prompt_token_ids), tokens),
            system_fingerprint=self._generation.fingerprint,
        )

    async def stream(self, request: ChatCompletionRequest) -> AsyncGenerator[ChatCompletionChunk]:
        """The answer as it is made; nothing comes before the engine's first text, so that failures can be statuses."""
        prepared = await self._prepare(request)
        chunk_of = _ChunkMaker(request, self._generation.fingerprint)
        started = False
        tokens = 0
        async with aclosing(self._generation.generator.generate(prepared)) as chunks:
            async for chunk in chunks:
                if not started:
                    started = True
                    yield chunk_of.delta(ChatDelta(role="assistant", content=""))
                if chunk.text:
                    yield chunk_of.delta(ChatDelta(content=chunk.text))
                if chunk.finish_reason:
                    yield chunk_of.delta(ChatDelta(), chunk.finish_reason)
                tokens = chunk.completion_tokens
        if chunk_of.include_usage:
            yield chunk_of.usage(Usage.of(len(prepared.prompt_token_ids), tokens))

    async def _prepare(self, request: ChatCompletionRequest) -> TextRequest:
        generation = self._generation
        generation.models.resolve(request.model)
        token_ids = await generation.encode_chat([turn.for_template() for turn in request.messages], request.model)
        asked = request.max_completion_tokens or request.max_tokens
        return TextRequest(
            model=request.model,
            prompt_token_ids=tuple(token_ids),
            max_tokens=generation.completion_limit(len(token_ids), asked, prompt="messages"),
            sampling=generation.sampling(request),
            stop=tuple(request.stop or ()),
            stop_token_ids=generation.stop_token_ids(ignore_eos=request.ignore_eos),
        )


class _ChunkMaker:
    """Chunks of one answer. They leave fields out that were not set, so each sets all that it has."""

    def __init__(self, request: ChatCompletionRequest, fingerprint: str) -> None:
        self.include_usage = bool(request.stream_options and request.stream_options.include_usage)
        self._identity = AnswerIdentity("chatcmpl")
        self._model = request.model
        self._fingerprint = fingerprint

    def delta(self, delta: ChatDelta, finish_reason: FinishReason | None = None) -> ChatCompletionChunk:
        return self._chunk([ChunkChoice(index=0, delta=delta, logprobs=None, finish_reason=finish_reason)], None)

    def usage(self, usage: Usage) -> ChatCompletionChunk:
        return self._chunk([], usage)

    def _chunk(self, choices: list[ChunkChoice], usage: Usage | None) -> ChatCompletionChunk:
        chunk = ChatCompletionChunk(
            id=self._identity.id,
            object="chat.completion.chunk",
            created=self._identity.created,
            model=self._model,
            choices=choices,
            system_fingerprint=self._fingerprint,
        )
        if self.include_usage:
            chunk.usage = usage
        return chunk
