"""The wire of tools: what a request offers and demands, and what an answer calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from serving.api.fields import ApiModel, JsonObject, Text

MAX_TOOLS = 128

FunctionName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


def function_only(value: Any) -> Any:  # noqa: ANN401 - before validation a value is anything
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
    list[Annotated[FunctionTool, BeforeValidator(function_only)]], Field(max_length=MAX_TOOLS, fail_fast=True)
]


def functions_of(tools: Sequence[FunctionTool] | None) -> list[FunctionDefinition]:
    return [tool.function for tool in tools or ()]


def tools_for_template(functions: Sequence[FunctionDefinition]) -> list[dict[str, Any]]:
    """The functions as chat templates take them."""
    told = {"name", "description", "parameters"}
    return [{"type": "function", "function": each.model_dump(exclude_none=True, include=told)} for each in functions]


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


ToolMode = Literal["none", "auto", "required"]
ToolChoice = Annotated[
    Annotated[ToolMode, Tag("<mode>")]
    | Annotated[NamedTool, Tag("<named>")]
    | Annotated[AllowedToolsChoice, Tag("<allowed>")],
    Discriminator(_kind),
]


@dataclass(frozen=True, kw_only=True)
class CallDemand:
    """What a request says of calls, whichever endpoint it came to."""

    mode: ToolMode
    """Whether there are to be calls."""
    names: tuple[str, ...] = ()
    """Of these functions; none: of any."""
    one: bool = False
    """One call only, though the model is told of the other functions too."""


def demand_of(choice: ToolChoice | None) -> CallDemand:
    match choice:
        case NamedTool(function=function):
            return CallDemand(mode="required", names=(function.name,), one=True)
        case AllowedToolsChoice(allowed_tools=allowed):
            return CallDemand(mode=allowed.mode, names=tuple(tool.function.name for tool in allowed.tools))
        case _:
            return CallDemand(mode=choice or "auto")


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
