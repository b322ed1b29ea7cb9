"""Grammars for answers, in llguidance's JSON: what `GenerationRequest.grammar` takes.

A grammar is made of a rule `answer` in llguidance's dialect of Lark, and of what may come before an answer.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

from llguidance import LLMatcher

ANY_JSON_OBJECT: Mapping[str, Any] = {"type": "object"}

MAX_SCHEMA_CHARACTERS = 256 * 1024
"""JSON text that compiles in about two seconds at worst."""
MAX_SCHEMA_DEPTH = 64
"""Objects and lists within each other."""

_WHITESPACE = r"[ \n\r\t]{1,40}"
"""Between the parts of a JSON value. Without an end to it, a model that hesitates writes spaces up to its limit."""


class GrammarRefused(Exception):
    """A grammar that no answer can be held to; the text is llguidance's reason."""


def check_size(schemas: Sequence[Any]) -> None:
    """Raises GrammarRefused for JSON Schemas that together, or of which one, would take too long to compile."""
    try:
        size = sum(len(json.dumps(schema, ensure_ascii=False, separators=(",", ":"))) for schema in schemas)
    except RecursionError:
        raise GrammarRefused("the schema is nested too deeply") from None
    if size > MAX_SCHEMA_CHARACTERS:
        raise GrammarRefused(
            f"its JSON Schemas have {size} characters, but may have {MAX_SCHEMA_CHARACTERS}; leave descriptions out, "
            "or define once in '$defs' what repeats"
        )
    if any(depth_of(schema) > MAX_SCHEMA_DEPTH for schema in schemas):
        raise GrammarRefused(
            f"the schema is nested too deeply: objects and lists may be {MAX_SCHEMA_DEPTH} deep; define inner ones in "
            "'$defs' and refer to them"
        )


def depth_of(value: Any) -> int:  # noqa: ANN401 - a JSON value
    """How deep objects and lists are within each other, however deep: without recursion."""
    depth, level = 0, [value]
    while level := [node for node in level if isinstance(node, dict | list)]:
        depth += 1
        level = [child for node in level for child in (node.values() if isinstance(node, dict) else node)]
    return depth


def json_of(schema: Mapping[str, Any] | bool) -> str:
    """The expression of a Lark rule for the JSON values that `schema` describes. Raises GrammarRefused.

    >>> json_of({"type": "null"})
    '%json {"type": "null", "x-guidance": {"whitespace_pattern": "[ \\\\\\\\n\\\\\\\\r\\\\\\\\t]{1,40}"}}'
    """
    described = {"allOf": [schema]} if isinstance(schema, bool) else schema
    # ours goes last: a caller's own options could switch the refusal of unknown keywords off
    try:
        return f"%json {json.dumps({**described, 'x-guidance': {'whitespace_pattern': _WHITESPACE}})}"
    except RecursionError:
        raise GrammarRefused("the schema is nested too deeply") from None


def literal(text: str) -> str:
    """The expression of a Lark rule for this very text.

    >>> literal('a "b"')
    '"a \\\\"b\\\\""'
    """
    return json.dumps(text, ensure_ascii=False)


async def grammar_of(rules: str) -> str:
    """The grammar of Lark `rules`, of which `start` is the first to be matched. Raises GrammarRefused."""
    grammar = json.dumps({"grammars": [{"lark_grammar": rules}]})
    # in a thread: a schema of megabytes takes a second, which all streams of the replica would wait
    if reason := await asyncio.to_thread(LLMatcher.validate_grammar, grammar):
        raise GrammarRefused(reason)
    return grammar
