"""The wire of /v1/chat/completions; fields in the order of OpenAI's reference, extensions last."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Discriminator, Field, Tag, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from serving.api.fields import (
    ApiModel,
    Choices,
    LogitBias,
    MaxTokens,
    Metadata,
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
    TopK,
    TopP,
    Unsupported,
    stream_options_of_a_stream,
)
from serving.api.logprobs import ChatLogprobs
from serving.api.usage import Usage
from serving.engines.protocol import FinishReason

_NO_TOOLS = "this service does not call tools yet"
_NO_AUDIO = "the model reads and writes text only"


def _text_part(value: Any) -> Any:  # noqa: ANN401 - before validation a value is anything
    if isinstance(value, dict) and isinstance(kind := value.get("type"), str) and kind != "text":
        raise PydanticCustomError(
            "unsupported_value", "the model reads text only, found a part of type '{kind}'.", {"kind": kind}
        )
    return value


def _known_role(value: Any) -> Any:  # noqa: ANN401 - before validation a value is anything
    if value in ("tool", "function"):
        raise PydanticCustomError("unsupported_value", "{because}.", {"because": _NO_TOOLS})
    return value


class TextPart(ApiModel):
    type: Literal["text"]
    text: Text


Content = Annotated[
    Annotated[Text, Tag("<text>")]
    | Annotated[list[Annotated[TextPart, BeforeValidator(_text_part)]], Field(fail_fast=True), Tag("<parts>")],
    Discriminator(lambda value: "<parts>" if isinstance(value, list) else "<text>"),
]


class ChatMessage(ApiModel):
    """One turn. `name` is handed to the chat template, which most models' templates ignore."""

    role: Annotated[Literal["system", "developer", "user", "assistant"], BeforeValidator(_known_role)]
    content: Content
    name: Text | None = None
    # What an answer of this service, sent back as a turn, carries besides its text.
    refusal: Annotated[str | None, Unsupported(because="a refusal is text like any other")] = None
    annotations: Annotated[list[Any] | None, Unsupported([], because="answers have no annotations")] = None
    audio: Annotated[dict[str, Any] | None, Unsupported(because=_NO_AUDIO)] = None
    function_call: Annotated[dict[str, Any] | None, Unsupported(because=_NO_TOOLS)] = None
    tool_calls: Annotated[list[Any] | None, Unsupported([], because=_NO_TOOLS)] = None

    def for_template(self) -> dict[str, str]:
        """The message as chat templates take it: they know no developers, and the text is one string."""
        # Joined with a line break, as vLLM does it: to their senders parts are paragraphs, not halves of words.
        content = self.content if isinstance(self.content, str) else "\n".join(part.text for part in self.content)
        message = {"role": "system" if self.role == "developer" else self.role, "content": content}
        return message if self.name is None else {**message, "name": self.name}


Messages = Annotated[list[ChatMessage], Field(min_length=1, fail_fast=True)]


class ChatCompletionRequest(ApiModel):
    messages: Messages
    model: str
    """The workspace's name."""
    audio: Annotated[dict[str, Any] | None, Unsupported(because=_NO_AUDIO)] = None
    frequency_penalty: Penalty | None = None
    function_call: Annotated[str | None, Unsupported("none", "auto", because=_NO_TOOLS)] = None
    functions: Annotated[list[Any] | None, Unsupported([], because=_NO_TOOLS)] = None
    logit_bias: LogitBias | None = None
    logprobs: bool | None = None
    max_completion_tokens: MaxTokens | None = None
    """None: until the model is done or its context is full."""
    max_tokens: MaxTokens | None = None
    """Deprecated by OpenAI; the same as max_completion_tokens."""
    metadata: Annotated[Metadata | None, NoEffect] = None
    modalities: Annotated[list[str] | None, Unsupported(["text"], because=_NO_AUDIO)] = None
    moderation: Annotated[dict[str, Any] | None, Unsupported(because="there is no moderation model")] = None
    n: Choices | None = None
    parallel_tool_calls: Annotated[bool | None, NoEffect] = None
    prediction: Annotated[dict[str, Any] | None, Unsupported(because="there are no predicted outputs")] = None
    presence_penalty: Penalty | None = None
    prompt_cache_key: Annotated[str | None, NoEffect] = None
    prompt_cache_options: Annotated[dict[str, Any] | None, NoEffect] = None
    prompt_cache_retention: Annotated[str | None, NoEffect] = None
    reasoning_effort: Annotated[str | None, Unsupported("none", because="the model has no setting for it")] = None
    response_format: Annotated[
        dict[str, Any] | None, Unsupported({"type": "text"}, because="answers are not held to a format yet")
    ] = None
    safety_identifier: Annotated[str | None, NoEffect] = None
    seed: Seed | None = None
    service_tier: Annotated[str | None, Unsupported("auto", "default", because="there is one tier")] = None
    stop: Stop | None = None
    store: Annotated[bool | None, Unsupported(False, because="answers are not stored")] = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: Temperature | None = None
    """None: the workspace's default."""
    tool_choice: Annotated[str | None, Unsupported("none", "auto", because=_NO_TOOLS)] = None
    tools: Annotated[list[Any] | None, Unsupported([], because=_NO_TOOLS)] = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    top_p: TopP | None = None
    user: Annotated[str | None, NoEffect] = None
    verbosity: Annotated[str | None, Unsupported("medium", because="the model has no setting for it")] = None
    web_search_options: Annotated[dict[str, Any] | None, Unsupported(because="there is no web search")] = None
    top_k: TopK | None = None
    min_p: MinP | None = None
    repetition_penalty: RepetitionPenalty | None = None
    min_tokens: MinTokens | None = None
    stop_token_ids: StopTokenIds | None = None
    ignore_eos: bool | None = None
    """Extension, as in vLLM: generate up to the limit, whatever the model thinks of it."""

    @field_validator("max_tokens")
    @classmethod
    def _one_limit(cls, value: int | None, info: ValidationInfo) -> int | None:
        other = info.data.get("max_completion_tokens")
        if value is not None and other is not None and value != other:
            raise ValueError("it differs from max_completion_tokens, of which it is the old name; send that one only")
        return value

    @field_validator("stream_options")
    @classmethod
    def _only_in_streams(cls, value: StreamOptions | None, info: ValidationInfo) -> StreamOptions | None:
        return stream_options_of_a_stream(value, info)

    @field_validator("top_logprobs")
    @classmethod
    def _only_with_logprobs(cls, value: int | None, info: ValidationInfo) -> int | None:
        if value and not info.data.get("logprobs"):
            raise ValueError('it needs "logprobs": true')
        return value


class AnswerMessage(BaseModel):
    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None
    annotations: list[Any] = []


class ChatChoice(BaseModel):
    index: int = 0
    message: AnswerMessage
    logprobs: ChatLogprobs | None = None
    finish_reason: FinishReason


class ChatCompletion(BaseModel):
    """The answer to a request that does not stream."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    """Unix time in seconds."""
    model: str
    choices: list[ChatChoice]
    usage: Usage
    system_fingerprint: str
    """Changes with whatever could change what a seed gives: weights, precision, code."""


class ChatDelta(BaseModel):
    role: Literal["assistant"] | None = None
    content: str | None = None


class ChunkChoice(BaseModel):
    index: int = 0
    delta: ChatDelta
    logprobs: ChatLogprobs | None = None
    finish_reason: FinishReason | None = None


class ChatCompletionChunk(BaseModel):
    """One event of a stream. With include_usage, `usage` is null in all chunks but the last."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: Usage | None = None
    system_fingerprint: str
