"""Answers with calls, and what parsers make of them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from serving.tools.format import CallArguments, CallStarted, Function, Piece, ToolFormat

WEATHER = Function(
    name="get_weather",
    parameters={
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city"],
        "additionalProperties": False,
    },
)
CLOCK = Function(name="clock", parameters={"type": "object", "properties": {}, "additionalProperties": False})
FUNCTIONS = (WEATHER, CLOCK)


@dataclass
class Parsed:
    """The pieces of an answer put together."""

    text: str = ""
    calls: list[tuple[str, str]] = field(default_factory=list)
    """Names and arguments, as JSON text."""

    @property
    def values(self) -> list[tuple[str, Any]]:
        return [(name, json.loads(arguments)) for name, arguments in self.calls]


def parsed(format_: ToolFormat, texts: Iterable[str], functions: Sequence[Function] = FUNCTIONS) -> Parsed:
    """What a parser makes of an answer that comes in these pieces."""
    parser = format_.parser(functions)
    answer = Parsed()
    pieces: list[Piece] = [piece for text in texts for piece in parser.push(text)]
    for piece in [*pieces, *parser.finish()]:
        match piece:
            case str():
                answer.text += piece
            case CallStarted():
                answer.calls.append((piece.name, ""))
            case CallArguments():
                name, so_far = answer.calls[-1]
                answer.calls[-1] = (name, so_far + piece.text)
    return answer


def cut(text: str, places: Iterable[int]) -> list[str]:
    """The text cut at these places, which may lie outside it."""
    bounds = [0, *sorted({place % (len(text) + 1) for place in places}), len(text)]
    return [text[start:end] for start, end in itertools.pairwise(bounds)]
