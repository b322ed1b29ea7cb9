"""What /v1/responses answers: the response, its items, and the events of a stream."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel

from serving.api.logprobs import TokenLogprob
from serving.api.responses.items import ItemStatus
from serving.api.responses.tools import RepeatedTool, ToolChoice
from serving.api.sse import NamedEvent

ResponseStatus = Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]


class OutputText(BaseModel):
    type: Literal["output_text"] = "output_text"
    text: str
    annotations: list[Any] = []
    logprobs: list[TokenLogprob]


class OutputMessage(BaseModel):
    type: Literal["message"] = "message"
    id: str
    status: ItemStatus
    role: Literal["assistant"] = "assistant"
    content: list[OutputText]


class ReasoningText(BaseModel):
    type: Literal["reasoning_text"] = "reasoning_text"
    text: str


class OutputReasoning(BaseModel):
    """What the model thought before it answered."""

    type: Literal["reasoning"] = "reasoning"
    id: str
    status: ItemStatus
    summary: list[Any] = []
    content: list[ReasoningText]


class OutputCall(BaseModel):
    """A call of a function, for the caller to make."""

    type: Literal["function_call"] = "function_call"
    id: str
    call_id: str
    """What the item with the function's output names."""
    name: str
    arguments: str
    """JSON text, as the model wrote it."""
    status: ItemStatus


OutputItem = OutputReasoning | OutputMessage | OutputCall


class InputTokensDetails(BaseModel):
    cached_tokens: int = 0
    cache_write_tokens: int = 0


class OutputTokensDetails(BaseModel):
    reasoning_tokens: int = 0


class ResponseUsage(BaseModel):
    """Counted in the model's own tokens, the chat template's among them."""

    input_tokens: int
    input_tokens_details: InputTokensDetails = InputTokensDetails()
    output_tokens: int
    output_tokens_details: OutputTokensDetails = OutputTokensDetails()
    total_tokens: int


class ResponseError(BaseModel):
    """Why a response failed; of OpenAI's codes these two can happen here."""

    code: Literal["server_error", "rate_limit_exceeded"]
    message: str


class IncompleteDetails(BaseModel):
    reason: Literal["max_output_tokens"] = "max_output_tokens"


class TextSettings(BaseModel):
    format: dict[str, Any] = {"type": "text"}
    """As it was asked for."""
    verbosity: Literal["medium"] = "medium"


class ReasoningSettings(BaseModel):
    effort: str | None = None
    summary: None = None


class Response(BaseModel):
    """An answer, finished or not. Times are Unix time in seconds."""

    id: str
    object: Literal["response"] = "response"
    created_at: int
    completed_at: int | None = None
    status: ResponseStatus
    background: bool
    error: ResponseError | None = None
    incomplete_details: IncompleteDetails | None = None
    instructions: str | None
    max_output_tokens: int | None
    max_tool_calls: int | None
    metadata: dict[str, str]
    model: str
    output: list[OutputItem] = []
    parallel_tool_calls: bool
    previous_response_id: str | None
    prompt_cache_key: str | None
    reasoning: ReasoningSettings = ReasoningSettings()
    safety_identifier: str | None
    service_tier: Literal["default"] = "default"
    store: bool
    temperature: float
    text: TextSettings = TextSettings()
    tool_choice: ToolChoice
    tools: list[RepeatedTool] = []
    top_logprobs: int
    top_p: float
    truncation: Literal["disabled"] = "disabled"
    usage: ResponseUsage | None = None
    user: str | None
    frequency_penalty: float
    presence_penalty: float


class DeletedResponse(BaseModel):
    id: str
    object: Literal["response"] = "response"
    deleted: Literal[True] = True


class LifecycleEvent(NamedEvent, frozen=True):
    """The response as a whole, at its beginning and at its end."""

    type: Literal[
        "response.created",
        "response.in_progress",
        "response.completed",
        "response.incomplete",
        "response.failed",
    ]
    sequence_number: int
    response: Response


class ItemEvent(NamedEvent, frozen=True):
    type: Literal["response.output_item.added", "response.output_item.done"]
    sequence_number: int
    output_index: int
    item: OutputItem


class _OfItem(NamedEvent, frozen=True):
    sequence_number: int
    item_id: str
    output_index: int


class _OfPart(_OfItem, frozen=True):
    content_index: int = 0


class PartEvent(_OfPart, frozen=True):
    type: Literal["response.content_part.added", "response.content_part.done"]
    part: OutputText | ReasoningText


class TextDelta(_OfPart, frozen=True):
    type: Literal["response.output_text.delta"] = "response.output_text.delta"
    delta: str
    logprobs: list[TokenLogprob]


class TextDone(_OfPart, frozen=True):
    type: Literal["response.output_text.done"] = "response.output_text.done"
    text: str
    logprobs: list[TokenLogprob]


class ReasoningDelta(_OfPart, frozen=True):
    type: Literal["response.reasoning_text.delta"] = "response.reasoning_text.delta"
    delta: str


class ReasoningDone(_OfPart, frozen=True):
    type: Literal["response.reasoning_text.done"] = "response.reasoning_text.done"
    text: str


class ArgumentsDelta(_OfItem, frozen=True):
    type: Literal["response.function_call_arguments.delta"] = "response.function_call_arguments.delta"
    delta: str


class ArgumentsDone(_OfItem, frozen=True):
    type: Literal["response.function_call_arguments.done"] = "response.function_call_arguments.done"
    name: str
    arguments: str
