"""The turns of a conversation, as requests have them and as chat templates take them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Protocol

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from serving.api.chat_completions.tools import FunctionName
from serving.api.fields import ApiModel, Text, Unsupported, check_writable
from serving.grammars import depth_of

_MAX_DEPTH = 64
"""Objects and lists within each other, of a call's arguments: what writes them out again is recursive."""
_NO_AUDIO = "the model reads and writes text only"
_OLD_CALLS = "functions are deprecated; send tools and tool_calls"


def _text_part(value: Any) -> Any:  # noqa: ANN401 - before validation a value is anything
    if isinstance(value, dict) and isinstance(kind := value.get("type"), str) and kind != "text":
        raise PydanticCustomError(
            "unsupported_value", "the model reads text only, found a part of type '{kind}'.", {"kind": kind}
        )
    return value


class TextPart(ApiModel):
    type: Literal["text"]
    text: Text


Content = Annotated[
    Annotated[Text, Tag("<text>")]
    | Annotated[list[Annotated[TextPart, BeforeValidator(_text_part)]], Field(fail_fast=True), Tag("<parts>")],
    Discriminator(lambda value: "<parts>" if isinstance(value, list) else "<text>"),
]


class _Part(Protocol):
    @property
    def text(self) -> str: ...


def _text_of(content: str | Sequence[_Part] | None) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    # Joined with a line break, as vLLM does it: to their senders parts are paragraphs, not halves of words.
    return "\n".join(part.text for part in content)


def plain_turn(role: str, content: str | Sequence[_Part]) -> dict[str, Any]:
    """A message without calls as chat templates take it: they know no developers, and the text is one string."""
    return {"role": "system" if role == "developer" else role, "content": _text_of(content)}


class PlainMessage(ApiModel):
    """A turn of the caller. `name` is handed to the chat template, which most models' templates ignore."""

    role: Literal["system", "developer", "user"]
    content: Content
    name: Text | None = None

    def for_template(self) -> dict[str, Any]:
        message = plain_turn(self.role, self.content)
        return message if self.name is None else {**message, "name": self.name}


def _value_of(arguments: str) -> dict[str, Any]:
    """Raises ValueError for what is no JSON object that can be written out again."""
    try:
        value = json.loads(arguments)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is not JSON ({error}); correct it, or leave the call out") from None
    if depth_of(value) > _MAX_DEPTH:
        raise ValueError("it is nested too deeply")
    check_writable(value)
    if not isinstance(value, dict):
        raise ValueError("it is no JSON object")
    return value


def _object(arguments: str) -> str:
    _value_of(arguments)
    return arguments


def called(call_id: str, name: str, arguments: str) -> dict[str, Any]:
    """A call of a turn as chat templates take it.

    They write the arguments out themselves, as JSON or otherwise, so they take them as values. What a model that was
    not held to a schema wrote may be no JSON object: then they get the text.
    """
    value: dict[str, Any] | str
    try:
        value = _value_of(arguments)
    except ValueError:
        value = arguments
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": value}}


def result_turn(call_id: str, content: str | Sequence[_Part], name: str | None) -> dict[str, Any]:
    """What a call gave back, as chat templates take it."""
    turn = {"role": "tool", "content": _text_of(content), "tool_call_id": call_id}
    return turn if name is None else {**turn, "name": name}


class CalledFunction(ApiModel):
    name: FunctionName
    arguments: Annotated[Text, AfterValidator(_object)]
    """JSON text."""


class CallOfTurn(ApiModel):
    """A call that the model has made in an earlier turn."""

    id: Annotated[Text, Field(min_length=1)]
    type: Literal["function"]
    function: CalledFunction


class AssistantMessage(ApiModel):
    """A turn of the model; an answer of this service can be sent back as one."""

    role: Literal["assistant"]
    content: Content | None = None
    name: Text | None = None
    reasoning_content: Text | None = None
    """Handed to the chat template, which decides how much of it the model sees again."""
    tool_calls: Annotated[list[CallOfTurn], Field(fail_fast=True)] | None = None
    refusal: Annotated[str | None, Unsupported(because="a refusal is text like any other")] = None
    annotations: Annotated[list[Any] | None, Unsupported([], because="answers have no annotations")] = None
    audio: Annotated[dict[str, Any] | None, Unsupported(because=_NO_AUDIO)] = None
    function_call: Annotated[dict[str, Any] | None, Unsupported(because=_OLD_CALLS)] = None

    def for_template(self) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": _text_of(self.content)}
        if self.name is not None:
            message["name"] = self.name
        if self.reasoning_content is not None:
            message["reasoning_content"] = self.reasoning_content
        if self.tool_calls:
            message["tool_calls"] = [
                called(call.id, call.function.name, call.function.arguments) for call in self.tool_calls
            ]
        return message


class ToolMessage(ApiModel):
    """What a function that the model has called gave back."""

    role: Literal["tool"]
    content: Content
    tool_call_id: Text
    name: Text | None = None

    def for_template(self) -> dict[str, Any]:
        return result_turn(self.tool_call_id, self.content, self.name)


def _kind(value: Any) -> str | None:  # noqa: ANN401 - before validation a value is anything
    role = value.get("role") if isinstance(value, dict) else None
    return {"assistant": "<assistant>", "tool": "<tool>"}.get(role, "<plain>") if isinstance(role, str) else "<plain>"


def _known_role(value: Any) -> Any:  # noqa: ANN401 - before validation a value is anything
    if isinstance(value, dict) and value.get("role") == "function":
        raise PydanticCustomError("unsupported_value", "role 'function' is deprecated; send 'tool'.")
    return value


ChatMessage = Annotated[
    Annotated[PlainMessage, Tag("<plain>")]
    | Annotated[AssistantMessage, Tag("<assistant>")]
    | Annotated[ToolMessage, Tag("<tool>")],
    Discriminator(_kind),
    BeforeValidator(_known_role),
]


def _whole_turns(messages: list[ChatMessage]) -> list[ChatMessage]:
    """Every turn says something, and every result belongs to a call before it."""
    open_calls: set[str] = set()
    for index, message in enumerate(messages):
        match message:
            case AssistantMessage():
                if message.content is None and not message.tool_calls:
                    raise ValueError(f"message {index} of the assistant has neither content nor tool_calls")
                open_calls = {call.id for call in message.tool_calls or ()}
            case ToolMessage():
                if message.tool_call_id not in open_calls:
                    raise ValueError(
                        f"message {index} of role 'tool' answers the call '{message.tool_call_id}', which the "
                        "assistant's message before it does not make"
                    )
                open_calls.remove(message.tool_call_id)
            case PlainMessage():
                open_calls = set()
    return messages


Messages = Annotated[list[ChatMessage], Field(min_length=1, fail_fast=True), AfterValidator(_whole_turns)]


def for_template(messages: Sequence[ChatMessage]) -> list[dict[str, Any]]:
    """The conversation as chat templates take it; results carry the names of their functions, which some ask for."""
    names = {
        call.id: call.function.name
        for message in messages
        if isinstance(message, AssistantMessage)
        for call in message.tool_calls or ()
    }
    turns = [message.for_template() for message in messages]
    for turn in turns:
        if turn["role"] == "tool":
            turn.setdefault("name", names[turn["tool_call_id"]])
    return turns
