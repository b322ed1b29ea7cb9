"""Completions of plain text: one prompt or several, each a choice of the answer."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from serving.api.completions.protocol import Completion, CompletionChoice, CompletionRequest
from serving.api.generation import AnswerIdentity, Generation
from serving.api.merge import merge
from serving.api.usage import Usage
from serving.engines.protocol import FinishReason
from serving.text.generator import TextChunk, TextRequest

_DEFAULT_MAX_TOKENS = 16


@dataclass(frozen=True)
class _Prepared:
    request: TextRequest
    echoed: str
    """What the choice's text begins with: the prompt, if it is to be echoed."""


class Completions:
    """Continues texts."""

    def __init__(self, generation: Generation) -> None:
        self._generation = generation

    async def create(self, request: CompletionRequest) -> Completion:
        """All choices at once."""
        prepared = await self._prepare(request)
        texts = [choice.echoed for choice in prepared]
        tokens = [0] * len(prepared)
        reasons: list[FinishReason | None] = [None] * len(prepared)
        async with aclosing(self._generate(prepared)) as chunks:
            async for index, chunk in chunks:
                texts[index] += chunk.text
                tokens[index] = chunk.completion_tokens
                reasons[index] = chunk.finish_reason
        answer = _AnswerMaker(request, self._generation.fingerprint)
        return answer.whole(
            [
                CompletionChoice(index=index, text=text, logprobs=None, finish_reason=reason)
                for index, (text, reason) in enumerate(zip(texts, reasons, strict=True))
            ],
            _usage(prepared, tokens),
        )

    async def stream(self, request: CompletionRequest) -> AsyncGenerator[Completion]:
        """The choices as they are made, in no particular order; nothing comes before the engine's first text."""
        prepared = await self._prepare(request)
        answer = _AnswerMaker(request, self._generation.fingerprint)
        tokens = [0] * len(prepared)
        async with aclosing(self._generate(prepared)) as chunks:
            async for index, chunk in chunks:
                echoed = prepared[index].echoed if tokens[index] == 0 else ""
                yield answer.chunk(
                    CompletionChoice(
                        index=index, text=echoed + chunk.text, logprobs=None, finish_reason=chunk.finish_reason
                    )
                )
                # An answer of no tokens has one chunk only, so that its prompt is not echoed twice.
                tokens[index] = chunk.completion_tokens
        if answer.include_usage:
            yield answer.usage(_usage(prepared, tokens))

    def _generate(self, prepared: list[_Prepared]) -> AsyncGenerator[tuple[int, TextChunk]]:
        return merge([self._generation.generator.generate(choice.request) for choice in prepared])

    async def _prepare(self, request: CompletionRequest) -> list[_Prepared]:
        generation = self._generation
        generation.models.resolve(request.model)
        prepared: list[_Prepared] = []
        for prompt in request.prompts():
            token_ids = await self._tokens(prompt)
            limit = generation.completion_limit(
                len(token_ids), request.max_tokens, prompt="prompt", default=_DEFAULT_MAX_TOKENS
            )
            text_request = TextRequest(
                model=request.model,
                prompt_token_ids=tuple(token_ids),
                max_tokens=limit,
                sampling=generation.sampling(request),
                stop=tuple(request.stop or ()),
                stop_token_ids=generation.stop_token_ids(ignore_eos=request.ignore_eos),
            )
            echoed = "" if not request.echo else prompt if isinstance(prompt, str) else self._text(prompt)
            prepared.append(_Prepared(text_request, echoed))
        return prepared

    async def _tokens(self, prompt: str | list[int]) -> list[int]:
        if isinstance(prompt, str):
            return await self._generation.encode(prompt, param="prompt")
        self._generation.check_tokens(prompt, param="prompt")
        return prompt

    def _text(self, token_ids: list[int]) -> str:
        return self._generation.tokenizer.decode(token_ids)


def _usage(prepared: list[_Prepared], tokens: list[int]) -> Usage:
    return Usage.of(sum(len(choice.request.prompt_token_ids) for choice in prepared), sum(tokens))


class _AnswerMaker:
    """Answers of one request. They leave fields out that were not set, so each sets all that it has."""

    def __init__(self, request: CompletionRequest, fingerprint: str) -> None:
        self.include_usage = bool(request.stream_options and request.stream_options.include_usage)
        self._identity = AnswerIdentity("cmpl")
        self._model = request.model
        self._fingerprint = fingerprint

    def whole(self, choices: list[CompletionChoice], usage: Usage) -> Completion:
        answer = self._answer(choices)
        answer.usage = usage
        return answer

    def chunk(self, choice: CompletionChoice) -> Completion:
        answer = self._answer([choice])
        if self.include_usage:
            answer.usage = None
        return answer

    def usage(self, usage: Usage) -> Completion:
        return self.whole([], usage)

    def _answer(self, choices: list[CompletionChoice]) -> Completion:
        return Completion(
            id=self._identity.id,
            object="text_completion",
            created=self._identity.created,
            model=self._model,
            choices=choices,
            system_fingerprint=self._fingerprint,
        )
