"""The wire of /v1/completions; fields in the order of OpenAI's reference, extensions last."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Discriminator, Field, Tag, ValidationInfo, field_validator

from serving.api.fields import (
    ApiModel,
    MaxTokens,
    NoEffect,
    Seed,
    Stop,
    StreamOptions,
    Temperature,
    Text,
    TokenIds,
    TopK,
    TopP,
    Unsupported,
    stream_options_of_a_stream,
)
from serving.api.usage import Usage
from serving.engines.protocol import FinishReason

_MAX_PROMPTS = 128
_NO_PENALTY = "tokens are not penalised yet"
_ONE_CHOICE = "one choice a prompt"


def _kind_of_prompt(value: Any) -> str:  # noqa: ANN401 - before validation a value is anything
    if not isinstance(value, list):
        return "<text>"
    first = value[0] if value else None
    return "<tokens>" if isinstance(first, int) else "<token lists>" if isinstance(first, list) else "<texts>"


Prompt = Annotated[
    Annotated[Text, Tag("<text>")]
    | Annotated[list[Text], Field(min_length=1, max_length=_MAX_PROMPTS, fail_fast=True), Tag("<texts>")]
    | Annotated[TokenIds, Tag("<tokens>")]
    | Annotated[list[TokenIds], Field(min_length=1, max_length=_MAX_PROMPTS, fail_fast=True), Tag("<token lists>")],
    Discriminator(_kind_of_prompt),
]


class CompletionRequest(ApiModel):
    model: str
    """The workspace's name."""
    prompt: Prompt
    """One text, several texts, the tokens of one text, or the tokens of several."""
    best_of: Annotated[int | None, Unsupported(1, because=_ONE_CHOICE)] = None
    echo: bool | None = None
    """The answer begins with the prompt."""
    frequency_penalty: Annotated[float | None, Unsupported(0, because=_NO_PENALTY)] = None
    logit_bias: Annotated[dict[str, int] | None, Unsupported({}, because="tokens cannot be favoured yet")] = None
    logprobs: Annotated[int | None, Unsupported(because="log probabilities are not returned yet")] = None
    max_tokens: MaxTokens | None = None
    """None: 16, as OpenAI has it."""
    n: Annotated[int | None, Unsupported(1, because=_ONE_CHOICE)] = None
    presence_penalty: Annotated[float | None, Unsupported(0, because=_NO_PENALTY)] = None
    seed: Seed | None = None
    stop: Stop | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    suffix: Annotated[str | None, Unsupported("", because="the model continues text, it does not fill gaps")] = None
    temperature: Temperature | None = None
    """None: the workspace's default."""
    top_p: TopP | None = None
    user: Annotated[str | None, NoEffect] = None
    top_k: TopK | None = None
    ignore_eos: bool | None = None
    """Extension, as in vLLM: generate max_tokens, whatever the model thinks of it."""

    @field_validator("stream_options")
    @classmethod
    def _only_in_streams(cls, value: StreamOptions | None, info: ValidationInfo) -> StreamOptions | None:
        return stream_options_of_a_stream(value, info)

    def prompts(self) -> list[str | list[int]]:
        """Every prompt, as text or as tokens."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        if isinstance(self.prompt[0], int):
            return [[token for token in self.prompt if isinstance(token, int)]]
        return [prompt for prompt in self.prompt if not isinstance(prompt, int)]


class CompletionChoice(BaseModel):
    index: int
    """Which of the prompts this continues."""
    text: str
    logprobs: None = None
    finish_reason: FinishReason | None


class Completion(BaseModel):
    """The answer, or one event of it: OpenAI has the same shape for both. In a stream finish_reason comes last."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    """Unix time in seconds."""
    model: str
    choices: list[CompletionChoice]
    usage: Usage | None = None
    system_fingerprint: str
