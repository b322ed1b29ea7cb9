"""Mistral's formats: `[TOOL_CALLS] [{"name": …, "arguments": {…}}, …]`, and later `[TOOL_CALLS]name[ARGS]{…}`.

A model of either kind is read; one that has to call is held to the first unless its tokenizer has `[ARGS]`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from serving.grammars import json_of, literal
from serving.tools.format import Function
from serving.tools.ids import mistral_call_id
from serving.tools.marks import lead, mark
from serving.tools.parsing import CallParser
from serving.tools.scanning import ObjectScanner, call_head, whole_call

_MARKER = "[TOOL_CALLS]"
_ARGUMENTS = "[ARGS]"
_ID = "[CALL_ID]"
_NAMED = re.compile(r"\s*([\w-]+)(?:\[CALL_ID\]\w+)?(?:\[ARGS\])?\s*(?=\{)")


class Mistral:
    markers = (_MARKER, _ARGUMENTS, _ID)

    def parser(self, functions: Sequence[Function]) -> CallParser:
        return _Parser(functions)

    def calls(self, functions: Sequence[Function], marks: Mapping[str, int], *, many: bool) -> str:
        marker = mark(_MARKER, marks)
        if _ARGUMENTS in marks:
            return f"calls: ({marker} call){'+' if many else ''}\n{_call(functions, marks)}"
        return f"calls: {marker} call\n{_call(functions, marks, many=many)}"

    def text_or_calls(self, functions: Sequence[Function], marks: Mapping[str, int], *, many: bool) -> str:
        opening, rules = lead(_MARKER, marks)
        times = "*" if many and _ARGUMENTS in marks else "?"
        return f"text_or_calls: ({opening} call){times} REST\n{rules}{_call(functions, marks, many=many)}"

    def new_id(self) -> str:
        return mistral_call_id()


def _call(functions: Sequence[Function], marks: Mapping[str, int], *, many: bool = False) -> str:
    bodies = "(" + " | ".join(f"body_{number}" for number in range(len(functions))) + ")"
    named = _ARGUMENTS in marks
    more = f' (", " {bodies})*' if many else ""
    rules = [f"call: {bodies}" if named else f'call: " "? "[" {bodies}{more} "]"']
    for number, function in enumerate(functions):
        if named:
            rules.append(f"body_{number}: {literal(function.name)} {mark(_ARGUMENTS, marks)} arguments_{number}")
        else:
            head = literal(f'{{"name": "{function.name}", "arguments": ')
            rules.append(f'body_{number}: {head} arguments_{number} "}}"')
        rules.append(f"arguments_{number}: {json_of(function.parameters)}")
    return "\n".join(rules) + "\n"


class _Parser(CallParser):
    marker = _MARKER

    def __init__(self, functions: Sequence[Function]) -> None:
        super().__init__(functions)
        self._raw = ""
        """What the buffer stood behind, for when it is no call."""

    def after_marker(self, ended: bool) -> bool:
        self._raw = _MARKER
        stripped = self.buffer.lstrip()
        if not stripped and not ended:
            return False
        if stripped.startswith("["):
            self._raw += self.buffer[: len(self.buffer) - len(stripped) + 1]
            self.buffer = stripped[1:]
            self._list()
        else:
            self.state = self._named
        return True

    def _named(self, ended: bool) -> bool:
        found = _NAMED.match(self.buffer)
        if found and found[1] in self.names:
            self.begin_arguments(found[1], found.end(), self.text)
            return True
        if "{" not in self.buffer and _MARKER not in self.buffer and not ended:
            return False
        self._refuse()
        return True

    def _list(self) -> None:
        """The buffer begins with what may be a call of a list."""
        self.scanner = ObjectScanner()
        self.state = self._listed

    def _listed(self, ended: bool) -> bool:
        end = self.buffer.find(_MARKER)
        block = self.buffer if end < 0 else self.buffer[:end]
        if head := call_head(block, self.names):
            self.begin_arguments(head.name, head.end, self._close)
            return True
        size = self.scanner.size_in(block)
        if call := whole_call(block[:size], self.names):
            self.whole(call)
            self.buffer = self.buffer[size:]
            self.state = self._next
            return True
        # What begins another way is no call of this format, and nothing that comes later makes it one.
        if not size and end < 0 and not ended and block.lstrip()[:1] in ("", "{"):
            return False
        self._refuse()
        return True

    def _close(self, ended: bool) -> bool:
        # further keys of a call, such as an id of its own, are dropped
        end = self.buffer.find("}")
        if end < 0:
            self.buffer = "" if ended else self.buffer
            return False
        self.buffer = self.buffer[end + 1 :]
        self.state = self._next
        return True

    def _next(self, ended: bool) -> bool:
        if (more := self.skip(",", ended)) is None:
            return False
        if more:
            self._raw = ","
            self._list()
            return True
        if self.skip("]", ended) is None:
            return False
        self.state = self.text
        return True

    def _refuse(self) -> None:
        """What was taken for calls is text."""
        self.say(self._raw)
        self.state = self.text
