"""The wire of /v1/chat/completions; fields in the order of OpenAI's reference, extensions last."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, SerializerFunctionWrapHandler, ValidationInfo, field_validator, model_serializer

from serving.api.chat_completions.messages import Messages
from serving.api.chat_completions.tools import AnswerCall, CallDelta, ToolChoice, Tools
from serving.api.fields import (
    AdapterStrength,
    ApiModel,
    Choices,
    JsonObject,
    LogitBias,
    MaxTokens,
    Metadata,
    MinP,
    MinTokens,
    NoEffect,
    Penalty,
    ReasoningEffort,
    RepetitionPenalty,
    Seed,
    Stop,
    StopTokenIds,
    StreamOptions,
    Temperature,
    TopK,
    TopLogprobs,
    TopP,
    Unsupported,
    stream_options_of_a_stream,
)
from serving.api.logprobs import ChatLogprobs
from serving.api.response_format import ResponseFormat
from serving.api.usage import Usage
from serving.engines.protocol import FinishReason

_OLD_CALLS = "functions are deprecated; send tools and tool_choice"
_NO_AUDIO = "the model reads and writes text only"


class ChatCompletionRequest(ApiModel):
    messages: Messages
    model: str
    """The workspace's name, or that of one of its adapters."""
    audio: Annotated[dict[str, Any] | None, Unsupported(because=_NO_AUDIO)] = None
    frequency_penalty: Penalty | None = None
    function_call: Annotated[str | None, Unsupported("none", "auto", because=_OLD_CALLS)] = None
    functions: Annotated[list[Any] | None, Unsupported([], because=_OLD_CALLS)] = None
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
    parallel_tool_calls: bool | None = None
    """False: at most one call an answer."""
    prediction: Annotated[dict[str, Any] | None, Unsupported(because="there are no predicted outputs")] = None
    presence_penalty: Penalty | None = None
    prompt_cache_key: Annotated[str | None, NoEffect] = None
    prompt_cache_options: Annotated[dict[str, Any] | None, NoEffect] = None
    prompt_cache_retention: Annotated[str | None, NoEffect] = None
    reasoning_effort: ReasoningEffort | None = None
    response_format: ResponseFormat | None = None
    safety_identifier: Annotated[str | None, NoEffect] = None
    seed: Seed | None = None
    service_tier: Annotated[str | None, Unsupported("auto", "default", because="there is one tier")] = None
    stop: Stop | None = None
    store: Annotated[bool | None, Unsupported(False, because="answers are not stored")] = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: Temperature | None = None
    """None: the workspace's default."""
    tool_choice: ToolChoice | None = None
    """None: as the model decides."""
    tools: Tools | None = None
    top_logprobs: TopLogprobs | None = None
    top_p: TopP | None = None
    user: Annotated[str | None, NoEffect] = None
    verbosity: Annotated[str | None, Unsupported("medium", because="the model has no setting for it")] = None
    web_search_options: Annotated[dict[str, Any] | None, Unsupported(because="there is no web search")] = None
    chat_template_kwargs: JsonObject | None = None
    """Extension, as in vLLM: variables of the model's chat template, such as Qwen's enable_thinking."""
    top_k: TopK | None = None
    min_p: MinP | None = None
    repetition_penalty: RepetitionPenalty | None = None
    min_tokens: MinTokens | None = None
    stop_token_ids: StopTokenIds | None = None
    adapter_strength: AdapterStrength | None = None
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


ChatFinishReason = FinishReason | Literal["tool_calls"]


class AnswerMessage(BaseModel):
    role: Literal["assistant"] = "assistant"
    content: str | None
    """None: calls instead."""
    refusal: None = None
    annotations: list[Any] = []
    tool_calls: list[AnswerCall] | None = None
    reasoning_content: str | None = None
    """Extension, as in vLLM and DeepSeek's API: what the model thought before it answered."""

    @model_serializer(mode="wrap")
    def _without_what_is_not_there(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """As OpenAI has it: a message without calls has no field for them."""
        return {
            name: value
            for name, value in serialize(self).items()
            if value is not None or name not in ("tool_calls", "reasoning_content")
        }


class ChatChoice(BaseModel):
    index: int = 0
    message: AnswerMessage
    logprobs: ChatLogprobs | None = None
    finish_reason: ChatFinishReason


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
    tool_calls: list[CallDelta] | None = None
    reasoning_content: str | None = None


class ChunkChoice(BaseModel):
    index: int = 0
    delta: ChatDelta
    logprobs: ChatLogprobs | None = None
    finish_reason: ChatFinishReason | None = None


class ChatCompletionChunk(BaseModel):
    """One event of a stream. With include_usage, `usage` is null in all chunks but the last."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: Usage | None = None
    system_fingerprint: str
