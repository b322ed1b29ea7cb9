"""The items of a request's input: messages, and what the model thought and called in earlier answers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BeforeValidator, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from serving.api.chat_completions.messages import plain_turn
from serving.api.chat_completions.tools import FunctionName
from serving.api.fields import ApiModel, NoEffect, Text, Unsupported

_KINDS = ("message", "reasoning", "function_call", "function_call_output")
_NO_PROGRAMS = "programs do not run here"
_NO_NAMESPACES = "functions have no namespaces"

ItemStatus = Literal["in_progress", "completed", "incomplete"]
Caller = Annotated[dict[str, Any] | None, Unsupported({"type": "direct"}, because=_NO_PROGRAMS)]
Namespace = Annotated[str | None, Unsupported(because=_NO_NAMESPACES)]
CallId = Annotated[Text, Field(min_length=1)]


def _text_part(value: Any) -> Any:  # noqa: ANN401 - before validation a value is anything
    kind = value.get("type") if isinstance(value, dict) else None
    if isinstance(kind, str) and kind not in ("input_text", "output_text"):
        raise PydanticCustomError(
            "unsupported_value", "the model reads text only, found a part of type '{kind}'.", {"kind": kind}
        )
    return value


def _item(value: Any) -> Any:  # noqa: ANN401 - before validation a value is anything
    kind = value.get("type", "message") if isinstance(value, dict) else None
    if isinstance(kind, str) and kind not in _KINDS:
        raise PydanticCustomError(
            "unsupported_value",
            "only messages, reasoning, and calls of functions with their outputs are read, found an item of type "
            "'{kind}'.",
            {"kind": kind},
        )
    return value


def _kind_of_item(value: Any) -> str:  # noqa: ANN401 - before validation a value is anything
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return f"<{kind}>" if isinstance(kind, str) and kind in _KINDS else "<message>"


class InputPart(ApiModel):
    """A paragraph; output_text is one of an answer that is sent back as a turn."""

    type: Literal["input_text", "output_text"]
    text: Text
    annotations: Annotated[list[Any] | None, Unsupported([], because="texts have no annotations")] = None
    logprobs: Annotated[list[Any] | None, NoEffect] = None
    prompt_cache_breakpoint: Annotated[dict[str, Any] | None, NoEffect] = None


Content = Annotated[
    Annotated[Text, Tag("<text>")]
    | Annotated[list[Annotated[InputPart, BeforeValidator(_text_part)]], Field(fail_fast=True), Tag("<parts>")],
    Discriminator(lambda value: "<parts>" if isinstance(value, list) else "<text>"),
]


class MessageItem(ApiModel):
    """One turn of the conversation."""

    type: Literal["message"] | None = None
    role: Literal["user", "assistant", "system", "developer"]
    content: Content
    # What an answer of this service, sent back as a turn, carries besides its text.
    id: Annotated[str | None, NoEffect] = None
    status: Annotated[ItemStatus | None, NoEffect] = None
    phase: Annotated[Literal["commentary", "final_answer"] | None, NoEffect] = None

    def for_template(self) -> dict[str, Any]:
        return plain_turn(self.role, self.content)


class ReasoningPart(ApiModel):
    type: Literal["reasoning_text"]
    text: Text


class ReasoningItem(ApiModel):
    """What the model thought before an earlier answer, sent back."""

    type: Literal["reasoning"]
    id: Annotated[str | None, NoEffect] = None
    summary: Annotated[list[Any] | None, NoEffect] = None
    content: Annotated[list[ReasoningPart], Field(fail_fast=True)] | None = None
    """Of thoughts before calls the chat template decides how much the model sees again; others it does not see."""
    encrypted_content: Annotated[str | None, Unsupported(because="reasoning is not encrypted")] = None
    status: Annotated[ItemStatus | None, NoEffect] = None

    def text(self) -> str:
        return "".join(part.text for part in self.content or ())


class FunctionCallItem(ApiModel):
    """A call that the model has made in an earlier answer."""

    type: Literal["function_call"]
    arguments: Text
    """As the model wrote them, which need not be JSON."""
    call_id: CallId
    name: FunctionName
    id: Annotated[str | None, NoEffect] = None
    asynchronous: Annotated[
        bool | None,
        Unsupported(False, because="an answer ends with its calls"),
        # OpenAI's client calls it so where it turns a call of an answer into a dict.
        Field(validation_alias=AliasChoices("async", "async_")),
    ] = None
    caller: Caller = None
    namespace: Namespace = None
    status: Annotated[ItemStatus | None, NoEffect] = None


class FunctionCallOutputItem(ApiModel):
    """What a function that the model has called gave back."""

    type: Literal["function_call_output"]
    call_id: CallId
    output: Content
    id: Annotated[str | None, NoEffect] = None
    caller: Caller = None
    name: Text | None = None
    """Handed to the chat template; None: the name of the function that was called."""
    namespace: Namespace = None
    status: Annotated[ItemStatus | None, NoEffect] = None


InputItem = Annotated[
    Annotated[MessageItem, Tag("<message>")]
    | Annotated[ReasoningItem, Tag("<reasoning>")]
    | Annotated[FunctionCallItem, Tag("<function_call>")]
    | Annotated[FunctionCallOutputItem, Tag("<function_call_output>")],
    Discriminator(_kind_of_item),
    BeforeValidator(_item),
]
Input = Annotated[
    Annotated[Text, Tag("<text>")] | Annotated[list[InputItem], Field(min_length=1, fail_fast=True), Tag("<items>")],
    Discriminator(lambda value: "<items>" if isinstance(value, list) else "<text>"),
]
