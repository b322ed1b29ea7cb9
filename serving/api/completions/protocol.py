"""The wire of /v1/completions; fields in the order of OpenAI's reference, extensions last."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Discriminator, Field, Tag, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from serving.api.fields import (
    MAX_CHOICES,
    AdapterStrength,
    ApiModel,
    Choices,
    LogitBias,
    MaxTokens,
    MinP,
    MinTokens,
    NoEffect,
    Penalty,
    RepetitionPenalty,
    Seed,
    Stop,
    StopTokenIds,
    StreamOptions,
    Temperature,
    Text,
    TokenIds,
    TopK,
    TopP,
    Unsupported,
    stream_options_of_a_stream,
)
from serving.api.logprobs import CompletionLogprobs
from serving.api.response_format import ResponseFormat
from serving.api.usage import Usage
from serving.engines.protocol import FinishReason


def _kind_of_prompt(value: Any) -> str:  # noqa: ANN401 - before validation a value is anything
    if not isinstance(value, list):
        return "<text>"
    first = value[0] if value else None
    return "<tokens>" if isinstance(first, int) else "<token lists>" if isinstance(first, list) else "<texts>"


Prompt = Annotated[
    Annotated[Text, Tag("<text>")]
    | Annotated[list[Text], Field(min_length=1, max_length=MAX_CHOICES, fail_fast=True), Tag("<texts>")]
    | Annotated[TokenIds, Tag("<tokens>")]
    | Annotated[list[TokenIds], Field(min_length=1, max_length=MAX_CHOICES, fail_fast=True), Tag("<token lists>")],
    Discriminator(_kind_of_prompt),
]


class CompletionRequest(ApiModel):
    model: str
    """The workspace's name, or that of one of its adapters."""
    prompt: Prompt
    """One text, several texts, the tokens of one text, or the tokens of several."""
    best_of: Annotated[int | None, Unsupported(1, because="choices are not ranked")] = None
    echo: bool | None = None
    """The answer begins with the prompt."""
    frequency_penalty: Penalty | None = None
    logit_bias: LogitBias | None = None
    logprobs: Annotated[int, Field(ge=0, le=5)] | None = None
    """How many of the likeliest tokens are told beside each; 0: the chosen one alone."""
    max_tokens: MaxTokens | None = None
    """None: 16, as OpenAI has it."""
    n: Choices | None = None
    """Choices of each prompt."""
    presence_penalty: Penalty | None = None
    seed: Seed | None = None
    stop: Stop | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    suffix: Annotated[str | None, Unsupported("", because="the model continues text, it does not fill gaps")] = None
    temperature: Temperature | None = None
    """None: the workspace's default."""
    top_p: TopP | None = None
    user: Annotated[str | None, NoEffect] = None
    response_format: ResponseFormat | None = None
    """Extension, as in vLLM and as in chat completions."""
    top_k: TopK | None = None
    min_p: MinP | None = None
    repetition_penalty: RepetitionPenalty | None = None
    min_tokens: MinTokens | None = None
    stop_token_ids: StopTokenIds | None = None
    adapter_strength: AdapterStrength | None = None
    ignore_eos: bool | None = None
    """Extension, as in vLLM: generate max_tokens, whatever the model thinks of it."""

    @field_validator("stream_options")
    @classmethod
    def _only_in_streams(cls, value: StreamOptions | None, info: ValidationInfo) -> StreamOptions | None:
        return stream_options_of_a_stream(value, info)

    @field_validator("logprobs")
    @classmethod
    def _of_the_completion_alone(cls, value: int | None, info: ValidationInfo) -> int | None:
        if value is not None and info.data.get("echo"):
            raise PydanticCustomError(
                "unsupported_parameter", "the prompt has no log probabilities; leave it or echo out."
            )
        return value

    def prompts(self) -> list[str | list[int]]:
        """Every prompt, as text or as tokens."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        if isinstance(self.prompt[0], int):
            return [[token for token in self.prompt if isinstance(token, int)]]
        return [prompt for prompt in self.prompt if not isinstance(prompt, int)]


class CompletionChoice(BaseModel):
    index: int
    """The choices of the first prompt come first, then those of the second."""
    text: str
    logprobs: CompletionLogprobs | None = None
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
