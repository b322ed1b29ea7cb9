"""Pieces that parsers of tool calls are made of."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import NamedTuple

from serving.tools.format import CallArguments, CallStarted, Piece

_HEAD = re.compile(
    r'\s*\{\s*(?:"type"\s*:\s*"function"\s*,\s*)?"name"\s*:\s*"([^"\\]*)"\s*,\s*"(?:arguments|parameters)"\s*:\s*(?=\{)'
)


class Head(NamedTuple):
    """The beginning of a call as a JSON object, up to its arguments."""

    name: str
    end: int


def call_head(text: str, names: Collection[str]) -> Head | None:
    """The head that `text` begins with; None: it has none, or not yet, or calls an unknown function.

    >>> call_head('{"name": "add", "arguments": {"a"', {"add"})
    Head(name='add', end=29)
    """
    found = _HEAD.match(text)
    return Head(found[1], found.end()) if found and found[1] in names else None


def whole_call(text: str, names: Collection[str]) -> list[Piece]:
    """The call that a JSON object in any order of its keys is; empty if it is none.

    >>> whole_call('{"arguments": {"a": 1}, "name": "add"}', {"add"})
    [CallStarted(name='add'), CallArguments(text='{"a": 1}')]
    """
    try:
        call = json.loads(text)
    except (ValueError, RecursionError):
        return []
    if not isinstance(call, dict) or call.get("name") not in names:
        return []
    arguments = call.get("arguments", call.get("parameters", {}))
    if not isinstance(arguments, dict):
        return []
    return [CallStarted(call["name"]), CallArguments(json.dumps(arguments, ensure_ascii=False))]


class ObjectScanner:
    """Finds where a JSON object ends, in whatever pieces it comes, and reads each character once."""

    def __init__(self) -> None:
        self.ended = False
        self._read = 0
        self._depth = 0
        self._in_string = False
        self._escaped = False

    def size_in(self, text: str) -> int:
        """Characters up to the end of the object that `text` begins with, which grows between calls; 0: no end yet.

        >>> scanner = ObjectScanner()
        >>> scanner.size_in(' {"a": '), scanner.size_in(' {"a": 1}, {}')
        (0, 9)
        """
        if not self.ended:
            self._read += self.scan(text[self._read :])
        return self._read if self.ended else 0

    def scan(self, text: str) -> int:
        """How many characters of `text` belong to the object, which begins with its first."""
        for position, character in enumerate(text):
            if self._in_string:
                if self._escaped:
                    self._escaped = False
                elif character == "\\":
                    self._escaped = True
                elif character == '"':
                    self._in_string = False
            elif character == '"':
                self._in_string = True
            elif character in "{[":
                self._depth += 1
            elif character in "}]":
                self._depth -= 1
                if self._depth == 0:
                    self.ended = True
                    return position + 1
        return len(text)


def held_back(text: str, marker: str) -> int:
    """Characters at the end of `text` that may belong to the marker: its beginning, and white space before it.

    >>> held_back("It is so. <tool", "<tool_call>")
    6
    """
    kept = next((size for size in range(min(len(marker) - 1, len(text)), 0, -1) if marker.startswith(text[-size:])), 0)
    before = text[: len(text) - kept]
    return kept + len(before) - len(before.rstrip())
