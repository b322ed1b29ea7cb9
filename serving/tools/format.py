"""What the API needs from a format of tool calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, kw_only=True)
class Function:
    """A function that the model may call."""

    name: str
    parameters: Mapping[str, Any]
    """JSON Schema of an object."""
    strict: bool = False
    """Its arguments have to fit the schema, even if the model decides by itself to call it."""


@dataclass(frozen=True, slots=True)
class CallStarted:
    """A call of this function begins."""

    name: str


@dataclass(frozen=True, slots=True)
class CallArguments:
    """The next piece of the arguments of the call that began last: JSON text, as the model wrote it."""

    text: str


Piece = str | CallStarted | CallArguments
"""Text that is no call, the beginning of a call, or more of its arguments."""


class ToolParser(Protocol):
    """Takes the calls out of one answer. What it finds depends on the text alone, not on how it was cut."""

    def push(self, text: str) -> list[Piece]:
        """What is certain now."""
        ...

    def finish(self) -> list[Piece]:
        """What was held back; called when the text has ended. What never became a call is text."""
        ...


class ToolFormat(Protocol):
    """How a family of models writes calls."""

    @property
    def markers(self) -> tuple[str, ...]:
        """Texts that may be special tokens of a tokenizer, which are no part of the text otherwise."""
        ...

    def parser(self, functions: Sequence[Function]) -> ToolParser: ...

    def calls(self, functions: Sequence[Function], marks: Mapping[str, int], *, many: bool) -> str:
        """Lark rules of which `calls` is one call or, if `many`, several.

        marks: ids of those markers that are special tokens. Raises GrammarRefused.
        """
        ...

    def text_or_calls(self, functions: Sequence[Function], marks: Mapping[str, int], *, many: bool) -> str:
        """Lark rules of which `text_or_calls` is any text, held to the functions' schemas where it has calls."""
        ...

    def new_id(self) -> str:
        """An id for a call, as the family's chat templates take it."""
        ...
