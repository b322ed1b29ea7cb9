"""Llama 3's format: the whole answer is `{"name": …, "parameters": {…}}`, or several of them with `;` between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from serving.grammars import json_of, literal
from serving.tools.format import Function
from serving.tools.ids import openai_call_id
from serving.tools.parsing import CallParser
from serving.tools.scanning import ObjectScanner, call_head, whole_call

_TAG = "<|python_tag|>"
"""Some models begin calls with it, which says nothing that the brace does not say."""


class Llama3Json:
    markers = (_TAG,)

    def parser(self, functions: Sequence[Function]) -> CallParser:
        return _Parser(functions)

    def calls(self, functions: Sequence[Function], marks: Mapping[str, int], *, many: bool) -> str:
        more = ' ("; " call)*' if many else ""
        return f"calls: call{more}\n{_call(functions)}"

    def text_or_calls(self, functions: Sequence[Function], marks: Mapping[str, int], *, many: bool) -> str:
        return f'text_or_calls: calls | TEXT | ""\nTEXT: /[^{{](?s:.*)/\n{self.calls(functions, marks, many=many)}'

    def new_id(self) -> str:
        return openai_call_id()


def _call(functions: Sequence[Function]) -> str:
    rules = ["call: " + " | ".join(f"call_{number}" for number in range(len(functions)))]
    for number, function in enumerate(functions):
        head = literal(f'{{"name": "{function.name}", "parameters": ')
        rules.append(f'call_{number}: {head} parameters_{number} "}}"')
        rules.append(f"parameters_{number}: {json_of(function.parameters)}")
    return "\n".join(rules) + "\n"


class _Parser(CallParser):
    """Decided by the first character: an answer that does not begin with a brace has no calls."""

    marker = _TAG

    def __init__(self, functions: Sequence[Function]) -> None:
        super().__init__(functions)
        self._raw = ""
        """What a call would begin with, and text that is no call too."""
        self.state = self._begin

    def _begin(self, ended: bool) -> bool:
        before = self.buffer
        if (tagged := self.skip(_TAG, ended)) is None:
            return False
        self._raw = before[: len(before) - len(self.buffer)] if tagged else ""
        self.state = self._object
        return True

    def _object(self, ended: bool) -> bool:
        """An object, or text to the end."""
        stripped = self.buffer.lstrip()
        if not stripped and not ended:
            return False
        self.scanner = ObjectScanner()
        self.state = self._call if stripped.startswith("{") else self._rest
        return True

    def _call(self, ended: bool) -> bool:
        if head := call_head(self.buffer, self.names):
            self.begin_arguments(head.name, head.end, self._close)
            return True
        size = self.scanner.size_in(self.buffer)
        if call := whole_call(self.buffer[:size], self.names):
            self.whole(call)
            self.buffer = self.buffer[size:]
            self.state = self._between
            return True
        if size or ended:
            self.state = self._rest
            return True
        return False

    def _close(self, ended: bool) -> bool:
        if self.skip("}", ended) is None:
            return False
        self.state = self._between
        return True

    def _between(self, ended: bool) -> bool:
        """After a call: another, or text."""
        if self.skip(";", ended) is None:
            return False
        self._raw = ""
        self.state = self._object
        return True

    def _rest(self, ended: bool) -> bool:
        self.say(self._raw + self.buffer)
        self._raw = self.buffer = ""
        return False
