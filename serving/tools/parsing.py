"""A parser as a machine of states over a buffer, for all formats."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from serving.tools.format import CallArguments, CallStarted, Function, Piece
from serving.tools.scanning import ObjectScanner, held_back

State = Callable[[bool], bool]
"""One step over the buffer; its argument says that the text has ended. False: it needs more text."""


class CallParser:
    """Text, then calls, then text again. Formats add the states between a call's marker and its arguments.

    A state decides by a beginning of the buffer that no later text changes, so that pieces make no difference.
    White space next to calls is no text.
    """

    marker = ""
    """What calls begin with."""

    def __init__(self, functions: Sequence[Function]) -> None:
        self.names = frozenset(function.name for function in functions)
        self.buffer = ""
        self.state: State = self.text
        self.scanner = ObjectScanner()
        self._after_arguments: State = self.text
        self._after_call = False
        self._gap = ""
        """White space before a marker, which is text if no call follows."""
        self._pieces: list[Piece] = []

    def push(self, text: str) -> list[Piece]:
        self.buffer += text
        return self._run(False)

    def finish(self) -> list[Piece]:
        return self._run(True)

    def _run(self, ended: bool) -> list[Piece]:
        self._pieces = []
        while self.state(ended):
            pass
        return self._pieces

    def text(self, ended: bool) -> bool:
        """Text up to the next marker."""
        found = self.buffer.find(self.marker)
        if found >= 0:
            before = self.buffer[:found]
            self.say(before.rstrip())
            self._gap = before[len(before.rstrip()) :]
            self.buffer = self.buffer[found + len(self.marker) :]
            self.state = self.after_marker
            return True
        if ended and self._after_call:
            self.buffer = self.buffer.rstrip()
        certain = len(self.buffer) - (0 if ended else held_back(self.buffer, self.marker))
        self.say(self.buffer[:certain])
        self.buffer = self.buffer[certain:]
        return False

    def after_marker(self, ended: bool) -> bool:
        """What a format has after its marker."""
        raise NotImplementedError

    def arguments(self, ended: bool) -> bool:
        """The arguments of a call that has begun."""
        size = self.scanner.scan(self.buffer)
        if size:
            self._pieces.append(CallArguments(self.buffer[:size]))
        self.buffer = self.buffer[size:]
        if self.scanner.ended:
            self.state = self._after_arguments
        return self.scanner.ended

    def begin_arguments(self, name: str, head: int, after: State) -> None:
        """The buffer has a call's beginning of `head` characters, and then its arguments."""
        self._pieces.append(CallStarted(name))
        self.buffer = self.buffer[head:]
        self.scanner = ObjectScanner()
        self._after_arguments = after
        self._in_call()
        self.state = self.arguments

    def whole(self, call: Sequence[Piece]) -> None:
        """A call of which all is known."""
        self._pieces.extend(call)
        self._in_call()

    def _in_call(self) -> None:
        self._after_call = True
        self._gap = ""

    def say(self, text: str) -> None:
        """Text that is no call."""
        text, self._gap = self._gap + text, ""
        if self._after_call:
            text = text.lstrip()
        if text:
            self._after_call = False
            self._pieces.append(text)

    def skip(self, text: str, ended: bool) -> bool | None:
        """Whether the buffer goes on with `text`, white space before it not counted, which is then removed.

        None: more text is needed to know.
        """
        rest = self.buffer.lstrip()
        if rest.startswith(text):
            self.buffer = rest[len(text) :]
            return True
        return None if text.startswith(rest) and not ended else False
