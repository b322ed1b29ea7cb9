"""What formats have in common whose calls stand between `<tool_call>` and `</tool_call>`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from serving.tools.format import Function
from serving.tools.ids import openai_call_id
from serving.tools.marks import lead, mark
from serving.tools.parsing import CallParser

OPEN = "<tool_call>"
CLOSE = "</tool_call>"


class ToolCallTags(ABC):
    """Formats add what stands between the tags: its rules, and its parser."""

    markers = (OPEN, CLOSE)

    @abstractmethod
    def parser(self, functions: Sequence[Function]) -> CallParser: ...

    @abstractmethod
    def call_rules(self, functions: Sequence[Function], marks: Mapping[str, int]) -> str:
        """Lark rules of which `call` is one call from behind the opening tag on. Raises GrammarRefused."""

    def calls(self, functions: Sequence[Function], marks: Mapping[str, int], *, many: bool) -> str:
        more = f' ("\\n" {mark(OPEN, marks)} call)*' if many else ""
        return f"calls: {mark(OPEN, marks)} call{more}\n{self.call_rules(functions, marks)}"

    def text_or_calls(self, functions: Sequence[Function], marks: Mapping[str, int], *, many: bool) -> str:
        opening, rules = lead(OPEN, marks)
        times = "*" if many else "?"
        return f"text_or_calls: ({opening} call){times} REST\n{rules}{self.call_rules(functions, marks)}"

    def new_id(self) -> str:
        return openai_call_id()
