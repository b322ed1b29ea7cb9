"""The wire of tools: what a request offers and demands, and what an answer calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from serving.api.fields import ApiModel, JsonObject, Text

MAX_TOOLS = 128

FunctionName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


def _function_only(value: Any) -> Any:  # noqa: ANN401 - before validation a value is anything
    if isinstance(value, dict) and isinstance(kind := value.get("type"), str) and kind != "function":
        raise PydanticCustomError(
            "unsupported_value", "tools are functions here, found one of type '{kind}'.", {"kind": kind}
        )
    return value


class FunctionDefinition(ApiModel):
    name: FunctionName
    description: Text | None = None
    parameters: JsonObject | None = None
    """JSON Schema of an object; None: the function takes nothing."""
    strict: bool | None = None
    """True: arguments have to fit the schema, even where the model decides by itself to call."""


class FunctionTool(ApiModel):
    type: Literal["function"]
    function: FunctionDefinition


Tools = Annotated[
    list[Annotated[FunctionTool, BeforeValidator(_function_only)]], Field(max_length=MAX_TOOLS, fail_fast=True)
]


def tools_for_template(tools: Sequence[FunctionTool]) -> list[dict[str, Any]]:
    """The tools as chat templates take them."""
    return [
        {"type": "function", "function": tool.function.model_dump(exclude_none=True, exclude={"strict"})}
        for tool in tools
    ]


class NamedFunction(ApiModel):
    name: FunctionName


class NamedTool(ApiModel):
    type: Literal["function"]
    function: NamedFunction


class AllowedTools(ApiModel):
    mode: Literal["auto", "required"]
    tools: Annotated[list[NamedTool], Field(min_length=1, fail_fast=True)]


class AllowedToolsChoice(ApiModel):
    """Choose among some of the tools only."""

    type: Literal["allowed_tools"]
    allowed_tools: AllowedTools


def _kind(value: Any) -> str:  # noqa: ANN401 - before validation a value is anything
    if not isinstance(value, dict):
        return "<mode>"
    return "<allowed>" if value.get("type") == "allowed_tools" else "<named>"


ToolChoice = Annotated[
    Annotated[Literal["none", "auto", "required"], Tag("<mode>")]
    | Annotated[NamedTool, Tag("<named>")]
    | Annotated[AllowedToolsChoice, Tag("<allowed>")],
    Discriminator(_kind),
]


class AnswerFunction(BaseModel):
    name: str
    arguments: str
    """JSON text, as the model wrote it."""


class AnswerCall(BaseModel):
    """A call in an answer."""

    id: str
    type: Literal["function"] = "function"
    function: AnswerFunction


class FunctionDelta(BaseModel):
    name: str | None = None
    arguments: str | None = None


class CallDelta(BaseModel):
    """A piece of a call in a stream: first its id and name, then its arguments bit by bit."""

    index: int
    id: str | None = None
    type: Literal["function"] | None = None
    function: FunctionDelta
