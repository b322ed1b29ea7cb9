"""What requests to /v1/responses say; fields in the order of OpenAI's reference, extensions last."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator

from serving.api.fields import (
    AdapterStrength,
    ApiModel,
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
    Temperature,
    Text,
    TopK,
    TopLogprobs,
    TopP,
    Unsupported,
)
from serving.api.response_format import Form, TextFormatOption
from serving.api.responses.items import Input
from serving.api.responses.tools import ToolChoice, Tools

_NO_SETTING = "the model has no setting for it"
LOGPROBS = "message.output_text.logprobs"


Includable = Literal[
    "message.output_text.logprobs",
    "code_interpreter_call.outputs",
    "computer_call_output.output.image_url",
    "file_search_call.results",
    "message.input_image.image_url",
    "reasoning.encrypted_content",
    "web_search_call.action.sources",
    "web_search_call.results",
]
"""All but the first are details that no answer of this service has: nothing of them is left out."""


class TextOptions(ApiModel):
    """What the answer's text is like."""

    format: TextFormatOption | None = None
    verbosity: Annotated[str | None, Unsupported("medium", because=_NO_SETTING)] = None


class ReasoningOptions(ApiModel):
    """How the model thinks before it answers."""

    effort: ReasoningEffort | None = None
    summary: Annotated[str | None, Unsupported(because="thoughts are told as they are, not summed up")] = None
    generate_summary: Annotated[str | None, Unsupported(because="thoughts are told as they are, not summed up")] = None


class ResponseRequest(ApiModel):
    access_programs: Annotated[dict[str, Any] | None, Unsupported(because="there are no such programs")] = None
    background: bool | None = None
    """The answer is made after this request's end, to be asked for by its id."""
    background_options: Annotated[
        dict[str, Any] | None, Unsupported({}, because="an answer is made as soon as there is room for it")
    ] = None
    context_management: Annotated[list[Any] | None, Unsupported([], because="conversations are not compacted")] = None
    conversation: Annotated[
        str | None, Unsupported(because="conversations are not kept; previous_response_id goes on from an answer")
    ] = None
    image: Annotated[dict[str, Any] | None, Unsupported({}, because="the model reads and writes text only")] = None
    include: list[Includable] | None = None
    input: Input
    """One text of a user, or a conversation."""
    instructions: Text | None = None
    """A message of the system before all others, of this answer only: the next one does not inherit it."""
    max_output_tokens: MaxTokens | None = None
    """None: until the model is done or its context is full."""
    max_tool_calls: Annotated[MaxTokens | None, NoEffect] = None
    metadata: Metadata | None = None
    """Comes back with the answer."""
    model: str
    """The workspace's name, or that of one of its adapters."""
    moderation: Annotated[dict[str, Any] | None, Unsupported(because="there is no moderation model")] = None
    parallel_tool_calls: bool | None = None
    """False: at most one call an answer."""
    previous_response_id: str | None = None
    """A stored answer, whose conversation this one goes on from."""
    prompt: Annotated[dict[str, Any] | None, Unsupported(because="there are no prompt templates")] = None
    prompt_cache_key: Annotated[Text | None, NoEffect] = None
    prompt_cache_options: Annotated[dict[str, Any] | None, NoEffect] = None
    prompt_cache_retention: Annotated[str | None, NoEffect] = None
    reasoning: ReasoningOptions | None = None
    safety_identifier: Annotated[Text | None, NoEffect] = None
    service_tier: Annotated[str | None, Unsupported("auto", "default", because="there is one tier")] = None
    store: bool | None = None
    """None, true: the answer is kept, in this replica's memory."""
    stream: bool | None = None
    stream_options: Annotated[
        dict[str, Any] | None, Unsupported({}, {"include_obfuscation": False}, because="events are not padded")
    ] = None
    temperature: Temperature | None = None
    """None: the workspace's default."""
    text: TextOptions | None = None
    tool_choice: ToolChoice | None = None
    """None: as the model decides."""
    tools: Tools | None = None
    top_logprobs: TopLogprobs | None = None
    top_p: TopP | None = None
    truncation: Annotated[
        str | None, Unsupported("disabled", because="what does not fit into the context is refused, not cut")
    ] = None
    user: Annotated[Text | None, NoEffect] = None
    # Of Open Responses, and extensions as in vLLM.
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    logit_bias: LogitBias | None = None
    adapter_strength: AdapterStrength | None = None
    seed: Seed | None = None
    stop: Stop | None = None
    top_k: TopK | None = None
    min_p: MinP | None = None
    repetition_penalty: RepetitionPenalty | None = None
    min_tokens: MinTokens | None = None
    stop_token_ids: StopTokenIds | None = None
    ignore_eos: bool | None = None

    @field_validator("store")
    @classmethod
    def _stored_in_the_background(cls, value: bool | None, info: ValidationInfo) -> bool | None:
        if value is False and info.data.get("background"):
            raise ValueError("an answer that is made in the background must be stored, or nobody could ask for it")
        return value

    @field_validator("stream")
    @classmethod
    def _not_in_the_background(cls, value: bool | None, info: ValidationInfo) -> bool | None:
        if value and info.data.get("background"):
            raise ValueError("an answer that is made in the background is not streamed; ask for it by its id")
        return value

    @field_validator("top_logprobs")
    @classmethod
    def _only_with_logprobs(cls, value: int | None, info: ValidationInfo) -> int | None:
        if value and LOGPROBS not in (info.data.get("include") or ()):
            raise ValueError(f'it needs "include": ["{LOGPROBS}"]')
        return value

    def logprobs(self) -> int | None:
        """How many of the likeliest tokens are told beside each; None: no log probabilities are."""
        return (self.top_logprobs or 0) if self.include and LOGPROBS in self.include else None

    def form(self) -> Form:
        """What the answer is to be like."""
        return Form(self.text.format if self.text else None, "text.format")

    def effort(self) -> str | None:
        return self.reasoning.effort if self.reasoning else None


class RetrieveQuery(BaseModel):
    """What a GET may ask beside the id."""

    model_config = ConfigDict(extra="forbid")

    stream: Annotated[str | None, Unsupported("false", because="a stored answer is not streamed")] = None
    include_obfuscation: Annotated[str | None, Unsupported("false", because="events are not padded")] = None
