"""Chat completions: OpenAI's objects in and out; knows the engine's text, not HTTP and not Ray."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
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
from serving.api.choices import choices_of, collect, generate
from serving.api.generation import AnswerIdentity, Generation
from serving.api.logprobs import ChatLogprobs, chat_logprobs
from serving.api.usage import Usage
from serving.engines.protocol import FinishReason
from serving.text.answer_text import TextToken
from serving.text.generator import TextRequest


class ChatCompletions:
    """Answers conversations."""

    def __init__(self, generation: Generation) -> None:
        self._generation = generation

    async def create(self, request: ChatCompletionRequest) -> ChatCompletion:
        """The whole answer at once."""
        prepared = await self._prepare(request)
        identity = AnswerIdentity("chatcmpl")
        choices = await collect(self._generation.generator, prepared)
        return ChatCompletion(
            id=identity.id,
            created=identity.created,
            model=request.model,
            choices=[
                ChatChoice(
                    index=index,
                    message=AnswerMessage(content=choice.text),
                    logprobs=self._logprobs(request, choice.tokens),
                    finish_reason=choice.finish_reason,
                )
                for index, choice in enumerate(choices)
            ],
            usage=Usage.of(len(prepared[0].prompt_token_ids), sum(choice.completion_tokens for choice in choices)),
            system_fingerprint=self._generation.fingerprint,
        )

    async def stream(self, request: ChatCompletionRequest) -> AsyncGenerator[ChatCompletionChunk]:
        """The answer as it is made; nothing comes before the engine's first text, so that failures can be statuses."""
        prepared = await self._prepare(request)
        chunk_of = _ChunkMaker(request, self._generation.fingerprint)
        tokens: dict[int, int] = {}
        async with aclosing(generate(self._generation.generator, prepared)) as chunks:
            async for index, chunk in chunks:
                if index not in tokens:
                    yield chunk_of.delta(index, ChatDelta(role="assistant", content=""))
                if chunk.text or chunk.tokens:
                    logprobs = self._logprobs(request, chunk.tokens)
                    yield chunk_of.delta(index, ChatDelta(content=chunk.text), logprobs=logprobs)
                if chunk.finish_reason:
                    yield chunk_of.delta(index, ChatDelta(), chunk.finish_reason)
                tokens[index] = chunk.completion_tokens
        if chunk_of.include_usage:
            yield chunk_of.usage(Usage.of(len(prepared[0].prompt_token_ids), sum(tokens.values())))

    async def _prepare(self, request: ChatCompletionRequest) -> list[TextRequest]:
        """One for each choice."""
        generation = self._generation
        generation.models.resolve(request.model)
        token_ids = await generation.encode_chat([turn.for_template() for turn in request.messages], request.model)
        asked = request.max_completion_tokens or request.max_tokens
        limit = generation.completion_limit(len(token_ids), asked, prompt="messages")
        text_request = TextRequest(
            model=request.model,
            prompt_token_ids=tuple(token_ids),
            max_tokens=limit,
            sampling=generation.sampling(request),
            stop=tuple(request.stop or ()),
            stop_token_ids=generation.stop_token_ids(ignore_eos=request.ignore_eos, others=request.stop_token_ids),
            min_tokens=generation.min_tokens(request.min_tokens, limit),
            logprobs=(request.top_logprobs or 0) if request.logprobs else None,
        )
        return choices_of(text_request, request.n)

    def _logprobs(self, request: ChatCompletionRequest, tokens: Sequence[TextToken]) -> ChatLogprobs | None:
        return chat_logprobs(tokens, self._generation.tokenizer.token_bytes) if request.logprobs else None


class _ChunkMaker:
    """Chunks of one answer. They leave fields out that were not set, so each sets all that it has."""

    def __init__(self, request: ChatCompletionRequest, fingerprint: str) -> None:
        self.include_usage = bool(request.stream_options and request.stream_options.include_usage)
        self._identity = AnswerIdentity("chatcmpl")
        self._model = request.model
        self._fingerprint = fingerprint

    def delta(
        self,
        index: int,
        delta: ChatDelta,
        finish_reason: FinishReason | None = None,
        *,
        logprobs: ChatLogprobs | None = None,
    ) -> ChatCompletionChunk:
        choice = ChunkChoice(index=index, delta=delta, logprobs=logprobs, finish_reason=finish_reason)
        return self._chunk([choice], None)

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
