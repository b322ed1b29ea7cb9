"""Qwen3-Coder's format: `<tool_call><function=name><parameter=key>value</parameter></function></tool_call>`.

Values stand there as they are, so that only the function's schema tells a text from a number. A call is told when it
is complete.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from serving.grammars import MAX_SCHEMA_CHARACTERS, GrammarRefused, json_of, literal
from serving.tools.format import CallArguments, CallStarted, Function, Piece
from serving.tools.marks import mark
from serving.tools.parsing import CallParser
from serving.tools.tool_call_tags import CLOSE, OPEN, ToolCallTags

_END = "</function>"
_FUNCTION = re.compile(r"\s*<function=([^>\s]+)>(.*)", re.DOTALL)
_PARAMETER = re.compile(r"\s*<parameter=([^>\s]+)>\n?(.*?)\n?</parameter>\s*", re.DOTALL)
_PYTHON = {"True": True, "False": False, "None": None}
_NULL = {"type": "null"}
_MAX_RULES = 2 * MAX_SCHEMA_CHARACTERS
_LIMITS = frozenset(
    {
        *("pattern", "format", "minLength", "maxLength"),
        *("$ref", "allOf", "oneOf", "not", "if", "then", "else"),
    }
)
"""Keywords that say more of a text than which ones there are."""


class Qwen3Coder(ToolCallTags):
    def parser(self, functions: Sequence[Function]) -> CallParser:
        return _Parser(functions)

    def call_rules(self, functions: Sequence[Function], marks: Mapping[str, int]) -> str:
        return _call(functions, marks)


def _call(functions: Sequence[Function], marks: Mapping[str, int]) -> str:
    bodies = " | ".join(f"body_{number}" for number in range(len(functions)))
    rules = [f'call: "\\n" ({bodies}) {literal(_END)} "\\n" {mark(CLOSE, marks)}']
    size = 0
    for number, function in enumerate(functions):
        parameters = function.parameters
        if indirect := parameters.keys() & {"$ref", "allOf", "anyOf", "oneOf"}:
            raise GrammarRefused(
                f"the parameters of {function.name} have '{min(indirect)}' at their top, but this model writes each "
                "parameter by itself; list them in 'properties'"
            )
        parts = [literal(f"<function={function.name}>\n")]
        for position, (name, schema) in enumerate(parameters.get("properties", {}).items()):
            rule = f"value_{number}_{position}"
            optional = "" if name in parameters.get("required", ()) else "?"
            parts.append(f"({literal(f'<parameter={name}>{chr(10)}')} {rule}){optional}")
            rules.append(_value(rule, schema, parameters))
            size += len(rules[-1])
            if size > _MAX_RULES:
                raise GrammarRefused(
                    f"the parameters of {function.name} are too large: this model writes each by itself, so '$defs' "
                    "count once for each that refers to them"
                )
        rules.append(f"body_{number}: {' '.join(parts)}")
    return "\n".join(rules) + "\n"


def _value(rule: str, schema: Any, parameters: Mapping[str, Any]) -> str:  # noqa: ANN401 - a schema may be a boolean
    """The rule of a value and of the tag after it."""
    end = "\n</parameter>\n"
    if not _is_text(schema):
        described = schema
        if isinstance(schema, dict) and '"$ref"' in json.dumps(schema):
            described = {**{key: parameters[key] for key in ("$defs", "definitions") if key in parameters}, **schema}
        return f"{rule}: {json_of(described)} {literal(end)}"
    texts = _texts(schema)
    if texts is None:
        return f"{rule}[lazy]: /(?s:.*)\\n<\\/parameter>\\n/"
    if not texts:
        raise GrammarRefused("a parameter of type 'string' has no text among its 'enum' or 'const'")
    return f"{rule}: ({' | '.join(literal(text) for text in texts)}) {literal(end)}"


def _texts(schema: Mapping[str, Any]) -> list[str] | None:
    """The texts that the schema of a text lists, in the branches of its 'anyOf' too; None: it takes any."""
    if limits := schema.keys() & _LIMITS:
        raise GrammarRefused(f"this model's format cannot hold a text to '{min(limits)}'; leave it out of the schema")
    listed = [_listed(schema[key], key) for key in ("enum", "const") if key in schema]
    if isinstance(choices := schema.get("anyOf"), list):
        branches = [_texts(choice) for choice in choices if choice != _NULL]
        if None not in branches:
            listed.append([text for texts in branches for text in texts or ()])
    if not listed:
        return None
    first, *others = listed
    allowed = [frozenset(texts) for texts in others]
    return [text for text in dict.fromkeys(first) if all(text in texts for texts in allowed)]


def _listed(values: Any, key: str) -> list[str]:  # noqa: ANN401 - as the caller wrote it
    values = [values] if key == "const" else values
    if not isinstance(values, list):
        raise GrammarRefused(f"'{key}' must be a list")
    return [value for value in values if isinstance(value, str)]


def _is_text(schema: Any) -> bool:  # noqa: ANN401 - a schema may be a boolean
    """Whether a value is taken as it is: the schema has texts, and at most null beside them."""
    if not isinstance(schema, dict):
        return False
    if isinstance(choices := schema.get("anyOf"), list):
        others = [choice for choice in choices if choice != _NULL]
        return bool(others) and all(_is_text(choice) for choice in others)
    kinds = schema.get("type")
    return "string" in kinds if isinstance(kinds, list) else kinds == "string"


def _read(text: str, schema: Any) -> Any:  # noqa: ANN401 - a JSON value
    if _is_text(schema):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return _PYTHON.get(text, text)


class _Parser(CallParser):
    marker = OPEN

    def __init__(self, functions: Sequence[Function]) -> None:
        super().__init__(functions)
        self._properties = {function.name: function.parameters.get("properties", {}) for function in functions}

    def after_marker(self, ended: bool) -> bool:
        end = self.buffer.find(_END)
        if end < 0 and not ended:
            return False
        call = [] if end < 0 else self._call(self.buffer[:end])
        if call:
            self.buffer = self.buffer[end + len(_END) :]
            self.whole(call)
            self.state = self._close
        else:
            self.say(OPEN)
            self.state = self.text
        return True

    def _call(self, block: str) -> list[Piece]:
        """The call of a block that ends before `</function>`; empty if it is none."""
        found = _FUNCTION.fullmatch(block)
        if not found or found[1] not in self.names:
            return []
        name, rest = found[1], found[2].strip()
        arguments: dict[str, Any] = {}
        while parameter := _PARAMETER.match(rest):
            arguments[parameter[1]] = _read(parameter[2], self._properties[name].get(parameter[1]))
            rest = rest[parameter.end() :]
        return [] if rest else [CallStarted(name), CallArguments(json.dumps(arguments, ensure_ascii=False))]

    def _close(self, ended: bool) -> bool:
        if self.skip(CLOSE, ended) is None:
            return False
        self.state = self.text
        return True
