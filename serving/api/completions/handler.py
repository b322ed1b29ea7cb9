"""Completions of plain text: one prompt or several, each with one or several choices of the answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from serving.api.choices import choices_of, collect, generate
from serving.api.completions.protocol import Completion, CompletionChoice, CompletionRequest
from serving.api.errors import InvalidRequest
from serving.api.fields import MAX_CHOICES
from serving.api.generation import AnswerIdentity, Generation, about
from serving.api.logprobs import CompletionLogprobs, completion_logprobs
from serving.api.response_format import answer_of
from serving.api.usage import Usage
from serving.grammars import grammar_of
from serving.text.answer_text import TextToken
from serving.text.generator import TextRequest

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
        choices = await collect(self._generation.generator, [choice.request for choice in prepared])
        answer = _AnswerMaker(request, self._generation.fingerprint)
        return answer.whole(
            [
                CompletionChoice(
                    index=index,
                    text=prepared[index].echoed + choice.text,
                    logprobs=self._logprobs(request, choice.tokens),
                    finish_reason=choice.finish_reason,
                )
                for index, choice in enumerate(choices)
            ],
            _usage(
                request,
                prepared,
                [choice.completion_tokens for choice in choices],
                [choice.cached_tokens for choice in choices],
            ),
        )

    async def stream(self, request: CompletionRequest) -> AsyncGenerator[Completion]:
        """The choices as they are made, in no particular order; nothing comes before the engine's first text."""
        prepared = await self._prepare(request)
        answer = _AnswerMaker(request, self._generation.fingerprint)
        tokens, cached = [0] * len(prepared), [0] * len(prepared)
        async with aclosing(generate(self._generation.generator, [choice.request for choice in prepared])) as chunks:
            async for index, chunk in chunks:
                echoed = prepared[index].echoed if tokens[index] == 0 else ""
                yield answer.chunk(
                    CompletionChoice(
                        index=index,
                        text=echoed + chunk.text,
                        logprobs=self._logprobs(request, chunk.tokens),
                        finish_reason=chunk.finish_reason,
                    )
                )
                # An answer of no tokens has one chunk only, so that its prompt is not echoed twice.
                tokens[index], cached[index] = chunk.completion_tokens, chunk.reused_prompt_tokens
        if answer.include_usage:
            yield answer.usage(_usage(request, prepared, tokens, cached))

    async def _prepare(self, request: CompletionRequest) -> list[_Prepared]:
        generation = self._generation
        model = generation.models.choose(request.model, request.adapter_strength)
        with about("response_format"):
            answer = answer_of(request.response_format)
            grammar = None if answer is None else await grammar_of(f"start: {answer}")
        prepared: list[_Prepared] = []
        prompts = request.prompts()
        if len(prompts) * (request.n or 1) > MAX_CHOICES:
            raise InvalidRequest(
                f"{len(prompts)} prompts with {request.n} choices each are more than {MAX_CHOICES} choices together.",
                param="n",
                code="invalid_value",
            )
        generation.check_choices(len(prompts) * (request.n or 1), param="n" if (request.n or 1) > 1 else "prompt")
        for prompt in prompts:
            token_ids = await self._tokens(prompt)
            limit = generation.completion_limit(
                len(token_ids), request.max_tokens, prompt="prompt", default=_DEFAULT_MAX_TOKENS
            )
            text_request = TextRequest(
                model=model.id,
                adapter=model.adapter,
                prompt_token_ids=tuple(token_ids),
                max_tokens=limit,
                sampling=generation.sampling(request),
                stop=tuple(request.stop or ()),
                stop_token_ids=generation.stop_token_ids(ignore_eos=request.ignore_eos, others=request.stop_token_ids),
                min_tokens=generation.min_tokens(request.min_tokens, limit),
                logprobs=request.logprobs,
                grammar=grammar,
            )
            echoed = "" if not request.echo else prompt if isinstance(prompt, str) else self._text(prompt)
            prepared += [_Prepared(choice, echoed) for choice in choices_of(text_request, request.n)]
        return prepared

    def _logprobs(self, request: CompletionRequest, tokens: Sequence[TextToken]) -> CompletionLogprobs | None:
        if request.logprobs is None:
            return None
        return completion_logprobs(tokens, self._generation.tokenizer.token_bytes)

    async def _tokens(self, prompt: str | list[int]) -> list[int]:
        if isinstance(prompt, str):
            return await self._generation.encode(prompt, param="prompt")
        self._generation.check_tokens(prompt, param="prompt")
        await asyncio.sleep(0)  # as between texts: to echo a prompt of tokens takes as long as to encode it
        return prompt

    def _text(self, token_ids: list[int]) -> str:
        return self._generation.tokenizer.decode(token_ids)


def _usage(request: CompletionRequest, prepared: list[_Prepared], tokens: list[int], cached: list[int]) -> Usage:
    """A prompt counts once, however many choices it has."""
    choices = request.n or 1
    prompts = prepared[::choices]
    return Usage.of(
        sum(len(choice.request.prompt_token_ids) for choice in prompts),
        sum(tokens),
        cached_tokens=sum(cached[::choices]),
    )


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
