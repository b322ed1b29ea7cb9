"""Chat completions: OpenAI's objects in and out; knows the engine's text, not HTTP and not Ray."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from serving.api.chat_completions.answer import AnswerReader
from serving.api.chat_completions.dialogue import Dialogue, open_dialogue
from serving.api.chat_completions.protocol import (
    ChatChoice,
    ChatCompletion,
    ChatCompletionChunk,
    ChatCompletionRequest,
    ChatDelta,
    ChatFinishReason,
    ChunkChoice,
)
from serving.api.choices import choices_of, collect, generate
from serving.api.generation import AnswerIdentity, Generation
from serving.api.logprobs import ChatLogprobs, chat_logprobs
from serving.api.usage import Usage
from serving.text.answer_text import TextToken
from serving.text.generator import TextRequest


class ChatCompletions:
    """Answers conversations."""

    def __init__(self, generation: Generation) -> None:
        self._generation = generation

    async def create(self, request: ChatCompletionRequest) -> ChatCompletion:
        """The whole answer at once."""
        prepared, dialogue = await self._prepare(request)
        identity = AnswerIdentity("chatcmpl")
        choices = await collect(self._generation.generator, prepared)
        readers = [dialogue.reader() for _ in choices]
        for reader, choice in zip(readers, choices, strict=True):
            reader.read(choice.text)
        return ChatCompletion(
            id=identity.id,
            created=identity.created,
            model=request.model,
            choices=[
                ChatChoice(
                    index=index,
                    message=reader.message(),
                    logprobs=self._logprobs(request, choice.tokens),
                    finish_reason=reader.finish_reason(choice.finish_reason),
                )
                for index, (choice, reader) in enumerate(zip(choices, readers, strict=True))
            ],
            usage=await self._usage(
                dialogue, sum(choice.completion_tokens for choice in choices), readers, choices[0].cached_tokens
            ),
            system_fingerprint=self._generation.fingerprint,
        )

    async def stream(self, request: ChatCompletionRequest) -> AsyncGenerator[ChatCompletionChunk]:
        """The answer as it is made; nothing comes before the engine's first text, so that failures can be statuses."""
        prepared, dialogue = await self._prepare(request)
        chunk_of = _ChunkMaker(request, self._generation.fingerprint)
        tokens: dict[int, int] = {}
        cached = 0
        readers = [dialogue.reader() for _ in prepared]
        async with aclosing(generate(self._generation.generator, prepared)) as chunks:
            async for index, chunk in chunks:
                reader = readers[index]
                if index not in tokens:
                    yield chunk_of.delta(index, ChatDelta(role="assistant", content=""))
                deltas = reader.push(chunk.text, ended=chunk.finish_reason is not None)
                if chunk.tokens and not deltas:
                    # Their text is held back, or is a marker; what is told of them is told now.
                    deltas = [ChatDelta(content="")]
                for place, delta in enumerate(deltas):
                    logprobs = self._logprobs(request, chunk.tokens) if place == 0 else None
                    yield chunk_of.delta(index, delta, logprobs=logprobs)
                if chunk.finish_reason:
                    yield chunk_of.delta(index, ChatDelta(), reader.finish_reason(chunk.finish_reason))
                tokens[index] = chunk.completion_tokens
                cached = chunk.reused_prompt_tokens if index == 0 else cached
        if chunk_of.include_usage:
            yield chunk_of.usage(await self._usage(dialogue, sum(tokens.values()), readers, cached))

    async def _prepare(self, request: ChatCompletionRequest) -> tuple[list[TextRequest], Dialogue]:
        """One request for each choice, and what they have in common."""
        generation = self._generation
        model = generation.models.choose(request.model, request.adapter_strength)
        generation.check_choices(request.n or 1)
        dialogue = await open_dialogue(request, generation)
        token_ids = dialogue.prompt_token_ids
        asked = request.max_completion_tokens or request.max_tokens
        limit = generation.completion_limit(len(token_ids), asked, prompt="messages")
        text_request = TextRequest(
            model=model.id,
            adapter=model.adapter,
            prompt_token_ids=token_ids,
            max_tokens=limit,
            sampling=generation.sampling(request),
            stop=tuple(request.stop or ()),
            stop_token_ids=generation.stop_token_ids(ignore_eos=request.ignore_eos, others=request.stop_token_ids),
            min_tokens=generation.min_tokens(request.min_tokens, limit),
            logprobs=(request.top_logprobs or 0) if request.logprobs else None,
            grammar=dialogue.grammar,
            shown_token_ids=dialogue.shown_token_ids,
        )
        return choices_of(text_request, request.n), dialogue

    def _logprobs(self, request: ChatCompletionRequest, tokens: Sequence[TextToken]) -> ChatLogprobs | None:
        return chat_logprobs(tokens, self._generation.tokenizer.token_bytes) if request.logprobs else None

    async def _usage(
        self, dialogue: Dialogue, completion_tokens: int, readers: Sequence[AnswerReader], cached_tokens: int
    ) -> Usage:
        thoughts = [await self._generation.thought_tokens(reader.thoughts) for reader in readers]
        return Usage.of(len(dialogue.prompt_token_ids), completion_tokens, sum(thoughts), cached_tokens=cached_tokens)


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
        finish_reason: ChatFinishReason | None = None,
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
