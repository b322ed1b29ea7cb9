"""The wire of tools on /v1/responses: those of chat completions, without the objects around them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag

from serving.api.chat_completions.tools import (
    MAX_TOOLS,
    CallDemand,
    FunctionDefinition,
    FunctionName,
    ToolMode,
    function_only,
)
from serving.api.fields import ApiModel, Unsupported


class RepeatedTool(FunctionDefinition):
    """A function, as an answer repeats it."""

    type: Literal["function"]


class OfferedTool(RepeatedTool):
    """A function, as a request offers it."""

    allowed_callers: Annotated[list[Any] | None, Unsupported(["direct"], because="programs do not run here")] = None
    asynchronous: Annotated[
        bool | None, Unsupported(False, because="the answer ends with its calls"), Field(alias="async")
    ] = None
    defer_loading: Annotated[
        bool | None, Unsupported(False, because="there is no search for tools, the model is told of all")
    ] = None
    output_schema: Annotated[
        dict[str, Any] | None, Unsupported(because="the model is not told what its calls give back")
    ] = None


Tools = Annotated[
    list[Annotated[OfferedTool, BeforeValidator(function_only)]], Field(max_length=MAX_TOOLS, fail_fast=True)
]


class ToolByName(ApiModel):
    type: Literal["function"]
    name: FunctionName


OneOfTools = Annotated[ToolByName, BeforeValidator(function_only)]


class ToolsAllowed(ApiModel):
    """Choose among some of the tools only."""

    type: Literal["allowed_tools"]
    mode: Literal["auto", "required"]
    tools: Annotated[list[OneOfTools], Field(min_length=1, fail_fast=True)]


def _kind(value: Any) -> str:  # noqa: ANN401 - before validation a value is anything
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    if kind == "allowed_tools":
        return "<allowed>"
    return "<named>" if isinstance(value, dict | ToolByName) else "<mode>"


ToolChoice = Annotated[
    Annotated[ToolMode, Tag("<mode>")]
    | Annotated[OneOfTools, Tag("<named>")]
    | Annotated[ToolsAllowed, Tag("<allowed>")],
    Discriminator(_kind),
]


def demand_of(choice: ToolChoice | None) -> CallDemand:
    match choice:
        case ToolByName():
            return CallDemand(mode="required", names=(choice.name,), one=True)
        case ToolsAllowed():
            return CallDemand(mode=choice.mode, names=tuple(tool.name for tool in choice.tools))
        case _:
            return CallDemand(mode=choice or "auto")


def repeated(tools: Sequence[OfferedTool] | None) -> list[RepeatedTool]:
    """The tools as an answer repeats them. What was left open is told as it was taken: not strict."""
    return [
        RepeatedTool(
            type="function",
            name=tool.name,
            description=tool.description,
            parameters=tool.parameters,
            strict=bool(tool.strict),
        )
        for tool in tools or ()
    ]
