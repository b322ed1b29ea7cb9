"""What the generating endpoints have in common, below HTTP: how long, how sampled, what belongs to an answer."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from presets.serve_config import SamplingDefaults
from serving.api.errors import ContextLengthExceeded, InvalidRequest
from serving.api.models.handler import Models
from serving.api.sampling import SamplingChoice, refuse_unknown_tokens, sampling_of
from serving.engines.protocol import Sampling
from serving.grammars import GrammarRefused
from serving.text.generator import TextGenerator
from serving.text.reasoning import ReasoningFormat
from serving.text.tokenizer import (
    ChatTemplateMissing,
    ChatTemplateRefused,
    TextTooLong,
    Tokenizer,
    ToolsNotInTemplate,
)
from serving.tools.format import ToolFormat


@dataclass(frozen=True, kw_only=True)
class Generation:
    """What handlers need to generate text."""

    models: Models
    tokenizer: Tokenizer
    generator: TextGenerator
    max_context: int
    """Tokens of prompt and completion together."""
    sampling_defaults: Callable[[], SamplingDefaults]
    """Asked with every request, since the defaults change in place."""
    fingerprint: str
    tools: ToolFormat | None = None
    """How the model writes calls; None: it calls no tools here."""
    reasoning: ReasoningFormat | None = None
    """How the model thinks before it answers; None: all of its text is the answer."""
    marks_in_grammars: bool = True
    """Whether the engine takes grammars that name special tokens; vLLM does not."""

    def sampling(self, request: SamplingChoice) -> Sampling:
        """Raises InvalidRequest."""
        return sampling_of(request, self.sampling_defaults(), self.tokenizer.vocab_size)

    async def encode(self, text: str, *, param: str) -> list[int]:
        """The prompt that a text is, which is in the parameter `param`; raises InvalidRequest if it has no token."""
        token_ids = await self.tokens(text, param=param)
        if not token_ids:
            raise InvalidRequest("The prompt is empty.", param=param, code="invalid_value")
        return token_ids

    async def tokens(self, text: str, *, param: str, special_tokens: bool = True) -> list[int]:
        """Tokens of a text; raises ContextLengthExceeded for a text whose length alone says that they are too many."""
        with self._refusing_too_long(param):
            return await self.tokenizer.encode(text, special_tokens=special_tokens, at_most=self.max_context)

    async def encode_chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        model: str,
        *,
        param: str = "messages",
        generation_prompt: bool = True,
        tools: Sequence[Mapping[str, Any]] = (),
        settings: Mapping[str, Any] | None = None,
    ) -> list[int]:
        """The prompt of a conversation, which is in the parameter `param`; tools and settings: as for the tokenizer.

        Raises InvalidRequest if the model's chat template cannot make one, or does not have a setting.
        """
        if unknown := [name for name in settings or {} if not self.tokenizer.template_takes(name)]:
            raise InvalidRequest(
                f"The chat template of '{model}' has no setting '{unknown[0]}'.",
                param="chat_template_kwargs",
                code="invalid_value",
            )
        try:
            with self._refusing_too_long(param):
                return await self.tokenizer.encode_chat(
                    messages,
                    generation_prompt=generation_prompt,
                    at_most=self.max_context,
                    tools=tools,
                    settings=settings,
                )
        except ChatTemplateMissing as error:
            raise InvalidRequest(
                f"The model '{model}' has no chat template, so it cannot chat; use /v1/completions.",
                param=param,
                code="chat_template_missing",
            ) from error
        except ToolsNotInTemplate as error:
            raise InvalidRequest(
                f"The chat template of '{model}' takes no tools, so the model would not know of them; use a model that "
                "was made for tools.",
                param="tools",
                code="tools_not_supported",
            ) from error
        except ChatTemplateRefused as error:
            raise InvalidRequest(
                f"The chat template of '{model}' does not take these messages: {error}.",
                param=param,
                code="invalid_messages",
            ) from error

    async def thought_tokens(self, thoughts: str) -> int:
        """Tokens of what the model thought, counted again: thoughts are text that was told apart, without markers."""
        return len(await self.tokenizer.encode(thoughts, special_tokens=False)) if thoughts else 0

    def check_tokens(self, token_ids: Sequence[int], *, param: str) -> None:
        """Raises InvalidRequest if the model has not all of these tokens; `param` is the parameter that holds them."""
        refuse_unknown_tokens(param, max(token_ids, default=0), self.tokenizer.vocab_size)

    @contextmanager
    def _refusing_too_long(self, param: str) -> Iterator[None]:
        try:
            yield
        except TextTooLong as error:
            raise ContextLengthExceeded(
                f"This model's maximum context length is {self.max_context} tokens, and the prompt's "
                f"{error.characters} characters are at least {error.fewest_tokens} tokens. Please shorten it.",
                param=param,
            ) from error

    def stop_token_ids(self, *, ignore_eos: bool | None, others: Sequence[int] | None = None) -> frozenset[int]:
        """The model's own and the `others` that a request asks for; raises InvalidRequest for tokens there are not."""
        if others:
            self.check_tokens(others, param="stop_token_ids")
        return frozenset(others or ()) | (frozenset() if ignore_eos else self.tokenizer.stop_token_ids)

    def check_choices(self, choices: int, *, param: str = "n") -> None:
        """Raises InvalidRequest for more than the service ever takes at once: to send it again would not help."""
        most = self.generator.capacity()
        if choices > most:
            raise InvalidRequest(
                f"The request has {choices} answers, each of which takes a place, and this service has {most} places, "
                f"those of waiting requests included. Please ask for at most {most} at once.",
                param=param,
                code="invalid_value",
            )

    def min_tokens(self, asked: int | None, limit: int) -> int:
        """Tokens to generate at least; `limit` at most. Raises InvalidRequest where that is fewer."""
        if (asked or 0) > limit:
            raise InvalidRequest(
                f"'min_tokens' is {asked}, but the answer may have {limit} tokens at most. Please change either.",
                param="min_tokens",
                code="invalid_value",
            )
        return asked or 0

    def completion_limit(
        self, prompt_tokens: int, asked: int | None, *, prompt: str, default: int | None = None
    ) -> int:
        """Tokens to generate at most; `prompt` is the parameter that holds the prompt.

        A caller who asks for no number gets `default`, or what there is room for.

        Raises ContextLengthExceeded with both numbers.
        """
        room = self.max_context - prompt_tokens
        if room < 1:
            raise ContextLengthExceeded(
                f"This model's maximum context length is {self.max_context} tokens, and the prompt alone has "
                f"{prompt_tokens}. Please shorten it to at most {self.max_context - 1}.",
                param=prompt,
            )
        if asked is not None and asked > room:
            raise ContextLengthExceeded(
                f"This model's maximum context length is {self.max_context} tokens, but {prompt_tokens + asked} were "
                f"requested: {prompt_tokens} of the prompt and {asked} of the completion. Please shorten either.",
                param=prompt,
            )
        if asked is not None:
            return asked
        return room if default is None else min(room, default)


@contextmanager
def about(param: str) -> Iterator[None]:
    """Makes of a grammar that is refused an InvalidRequest about the parameter that asks for it."""
    try:
        yield
    except GrammarRefused as error:
        raise InvalidRequest(
            f"Invalid value for '{param}': answers cannot be held to it: {error}.", param=param, code="invalid_schema"
        ) from error


@dataclass(frozen=True)
class AnswerIdentity:
    """What all chunks of one answer share."""

    prefix: str
    id: str = field(init=False)
    created: int = field(default_factory=lambda: int(time.time()))

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", f"{self.prefix}-{uuid.uuid4().hex}")
