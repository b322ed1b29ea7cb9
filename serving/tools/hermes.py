"""Nous Hermes' format, which Qwen 2.5 and 3 write too: `<tool_call>{"name": …, "arguments": {…}}</tool_call>`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from serving.grammars import json_of, literal
from serving.tools.format import Function
from serving.tools.marks import mark
from serving.tools.parsing import CallParser
from serving.tools.scanning import call_head, whole_call
from serving.tools.tool_call_tags import CLOSE, OPEN, ToolCallTags


class Hermes(ToolCallTags):
    def parser(self, functions: Sequence[Function]) -> CallParser:
        return _Parser(functions)

    def call_rules(self, functions: Sequence[Function], marks: Mapping[str, int]) -> str:
        return _call(functions, marks)


def _call(functions: Sequence[Function], marks: Mapping[str, int]) -> str:
    bodies = " | ".join(f"body_{number}" for number in range(len(functions)))
    rules = [f'call: "\\n" ({bodies}) "\\n" {mark(CLOSE, marks)}']
    for number, function in enumerate(functions):
        head = literal(f'{{"name": "{function.name}", "arguments": ')
        rules.append(f'body_{number}: {head} arguments_{number} "}}"')
        rules.append(f"arguments_{number}: {json_of(function.parameters)}")
    return "\n".join(rules) + "\n"


class _Parser(CallParser):
    marker = OPEN

    def after_marker(self, ended: bool) -> bool:
        end = self.buffer.find(CLOSE)
        if head := call_head(self.buffer if end < 0 else self.buffer[:end], self.names):
            self.begin_arguments(head.name, head.end, self._close)
            return True
        if end < 0 and not ended:
            return False
        # keys in another order, or no call at all
        block = self.buffer if end < 0 else self.buffer[:end]
        close = "" if end < 0 else CLOSE
        self.buffer = self.buffer[len(block) + len(close) :]
        if call := whole_call(block, self.names):
            self.whole(call)
        else:
            self.say(f"{OPEN}{block}{close}")
        self.state = self.text
        return True

    def _close(self, ended: bool) -> bool:
        if self.skip("}", ended) is None:
            return False
        self.state = self._close_marker
        return True

    def _close_marker(self, ended: bool) -> bool:
        if self.skip(CLOSE, ended) is None:
            return False
        self.state = self.text
        return True
