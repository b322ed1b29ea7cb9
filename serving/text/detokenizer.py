"""Tokens to text while they arrive, without ever sending half a character."""

from __future__ import annotations

from collections.abc import Callable, Sequence

_REPLACEMENT = "\ufffd"
_CONTEXT_TOKENS = 6
_MAX_PENDING = 8


class Detokenizer:
    """Text of a growing sequence of tokens; what was returned together equals the text of all tokens at once.

    Tokens are no units of text: a character may be spread over four of them, and a word's leading space depends on what
    stands before it. So a window of the last tokens is decoded again with each new one, and only what can no longer
    change is returned. The method is that of text-generation-inference and vLLM, with one difference: the stable part
    of a window that ends inside a character is returned at once.

    `context` are the tokens before the first new one; their last few decide whether the text begins with a space.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], context: Sequence[int] = ()) -> None:
        self._decode = decode
        self._window = list(context[-_CONTEXT_TOKENS:])
        self._last_boundary = len(self._window)
        self._sent = _stable_length(decode(self._window)) if self._window else 0

    def push(self, token_id: int) -> str:
        """Text that the next token completes; often a word, sometimes nothing."""
        self._window.append(token_id)
        text = self._decode(self._window)
        stable = _stable_length(text)
        new = text[self._sent : stable]
        self._sent = max(self._sent, stable)
        if stable == len(text):
            self._move_window(text)
        return new

    def flush(self) -> str:
        """What is left at the end: a character that never became whole, as U+FFFD."""
        text = self._decode(self._window)
        new = text[self._sent :]
        self._sent = len(text)
        return new

    def _move_window(self, text: str) -> None:
        """Begin the window at the last place between two whole characters, so that it stays a few tokens long."""
        segment = self._window[self._last_boundary :]
        if segment_text := self._decode(segment):
            self._window, self._last_boundary, self._sent = segment, len(segment), len(segment_text)
            return
        # Special tokens have no text. As the only context they would cost the next word its leading space, so the
        # context before them stays and they are forgotten.
        context = self._window[: self._last_boundary]
        if self._decode(context) == text:
            self._window = context


def _stable_length(text: str) -> int:
    """How much of a window's text later tokens cannot change.

    U+FFFD at the end may be the beginning of a character. A long run of them is not: a character has four bytes, of
    which each may stand for one U+FFFD, and the model has produced bytes that are no text.
    """
    pending = len(text) - len(text.rstrip(_REPLACEMENT))
    return len(text) - (pending if pending <= _MAX_PENDING else 4)
