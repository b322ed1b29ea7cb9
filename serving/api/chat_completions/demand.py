"""What a request wants of its answer: which tools it may or must call, and how its text is held to that."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from serving.api.chat_completions.tools import CallDemand, FunctionDefinition
from serving.api.errors import InvalidRequest
from serving.api.generation import Generation, about
from serving.api.response_format import Form, answer_of
from serving.grammars import check_size, grammar_of
from serving.text.reasoning import ReasoningFormat
from serving.tools.format import Function, ToolFormat

_NO_PARAMETERS: Mapping[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}


@dataclass(frozen=True, kw_only=True)
class ToolUse:
    """The tools of one request."""

    format: ToolFormat
    offered: tuple[FunctionDefinition, ...]
    """What the model is told of."""
    functions: tuple[Function, ...]
    """What it may call."""
    required: bool
    many: bool
    """Whether it may make several calls."""

    @property
    def held(self) -> bool:
        """Whether the text has to be held to a grammar for it."""
        return self.required or any(function.strict for function in self.functions)


def tool_use(
    functions: Sequence[FunctionDefinition], demand: CallDemand, generation: Generation, *, model: str, many: bool
) -> ToolUse | None:
    """The tools of a request, of which `many` says whether there may be several calls in parallel.

    None: it has none, or wants none called. Raises InvalidRequest about the parameters tools and tool_choice.
    """
    known = [function.name for function in functions]
    if unknown := [name for name in demand.names if name not in known]:
        raise InvalidRequest(
            f"'tool_choice' names '{unknown[0]}', but 'tools' has {', '.join(known) or 'nothing'}.",
            param="tool_choice",
            code="invalid_value",
        )
    if len(set(known)) < len(known):
        raise InvalidRequest("Two of 'tools' have the same name.", param="tools", code="invalid_value")
    if not functions and demand.mode == "required":
        raise InvalidRequest(
            "'tool_choice' demands a call, but there are no 'tools'.", param="tool_choice", code="invalid_value"
        )
    if not functions or demand.mode == "none":
        return None
    if generation.tools is None:
        raise InvalidRequest(
            f"Calls of the model '{model}' cannot be read here, so it takes no tools; leave them out, or use a "
            "model that was made for tools.",
            param="tools",
            code="tools_not_supported",
        )
    with about("tools"):
        check_size([function.parameters for function in functions])
    # One that must be called stays known as one of several; those that may not be called are not even told of.
    callable_ = [function for function in functions if not demand.names or function.name in demand.names]
    return ToolUse(
        format=generation.tools,
        offered=tuple(functions if demand.one else callable_),
        functions=tuple(_function(definition) for definition in callable_),
        required=demand.mode == "required",
        many=many and not demand.one,
    )


def _function(definition: FunctionDefinition) -> Function:
    parameters = {"type": "object", **(definition.parameters or _NO_PARAMETERS)}
    if parameters["type"] != "object":
        raise InvalidRequest(
            f"The parameters of '{definition.name}' must be a schema of type 'object', since calls carry objects.",
            param="tools",
            code="invalid_schema",
        )
    if wrong := _malformed(parameters):
        raise InvalidRequest(
            f"The parameters of '{definition.name}' are no JSON Schema: {wrong}.", param="tools", code="invalid_schema"
        )
    return Function(name=definition.name, parameters=parameters, strict=bool(definition.strict))


def _malformed(parameters: Mapping[str, Any]) -> str | None:
    """What is wrong with those parts of a schema that formats of calls read themselves; None: nothing."""
    properties, required = parameters.get("properties", {}), parameters.get("required", [])
    if not isinstance(properties, dict):
        return "'properties' must be an object"
    for name, schema in properties.items():
        if not isinstance(schema, dict | bool):
            return f"the property {json.dumps(name[:60])} must be an object or a boolean"
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        return "'required' must be a list of names"
    return None


async def grammar_for(
    form: Form,
    tools: ToolUse | None,
    reasoning: ReasoningFormat | None,
    marks: Mapping[str, int],
    *,
    thinking_begun: bool,
) -> str | None:
    """The grammar that an answer is held to; None: it is free. Raises InvalidRequest."""
    with about(form.param):
        wanted = answer_of(form.format)
        if wanted is not None:
            await grammar_of(f"start: answer\nanswer: {wanted}")
    if wanted is None and (tools is None or not tools.held):
        return None
    with about(form.param if tools is None else "tools"):
        start = "start: answer\n" if reasoning is None else reasoning.before_answer(marks, begun=thinking_begun)
        return await grammar_of(start + _answer_rules(wanted, tools, marks))


def _answer_rules(wanted: str | None, tools: ToolUse | None, marks: Mapping[str, int]) -> str:
    """Lark rules of which `answer` is a text of the wanted form, or calls where the request has tools."""
    if tools is None:
        return f"answer: {wanted}\n"
    if wanted is None and not tools.required:
        return "answer: text_or_calls\n" + tools.format.text_or_calls(tools.functions, marks, many=tools.many)
    calls = tools.format.calls(tools.functions, marks, many=tools.many)
    return f"answer: calls\n{calls}" if tools.required else f"answer: wanted | calls\nwanted: {wanted}\n{calls}"


def template_settings(
    effort: str | None,
    generation: Generation,
    model: str,
    *,
    param: str = "reasoning_effort",
    others: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Variables for the chat template: the `others`, and those for an effort, which is in the parameter `param`.

    Raises InvalidRequest for an effort that the template does not know.
    """
    takes = generation.tokenizer.template_takes
    settings = dict(others or {})
    if effort is None:
        return settings
    if takes("reasoning_effort"):
        settings.setdefault("reasoning_effort", effort)
    elif effort == "none":
        # A model that does not think at all needs no setting for it.
        settings.update({name: False for name in _THINKING if takes(name) and name not in settings})
    else:
        raise InvalidRequest(
            f"Unsupported parameter '{param}': the model '{model}' has no setting for it; leave it out or set it to "
            '"none".',
            param=param,
            code="unsupported_parameter",
        )
    return settings


_THINKING: Sequence[str] = ("enable_thinking", "thinking")
"""What chat templates call the switch: Qwen's and GLM's the first, DeepSeek's the second."""
