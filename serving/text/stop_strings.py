"""Stop strings in streamed text."""

from __future__ import annotations

from collections.abc import Sequence


class StopStrings:
    """Passes text through up to the first stop string, which is not part of the result.

    The first is the one that is complete first; of two that end at the same character, the longer. That depends on the
    text alone, not on how it was cut into pieces. Text that may be the beginning of a stop string is held back.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._longest = max((len(stop) for stop in self._stops), default=0)
        self._held = ""
        self.stopped = False
        """Whether a stop string was found; the text is then over."""

    def push(self, text: str) -> str:
        """What of the text so far is now certain to be before any stop string."""
        if self.stopped or not self._stops:
            return "" if self.stopped else text
        buffer = self._held + text
        found = [(start + len(stop), start) for stop in self._stops if (start := buffer.find(stop)) >= 0]
        if found:
            self.stopped = True
            self._held = ""
            return buffer[: min(found)[1]]
        certain = len(buffer) - self._possible_beginning(buffer)
        self._held = buffer[certain:]
        return buffer[:certain]

    def flush(self) -> str:
        """What was held back; called when the text has ended without a stop string."""
        held, self._held = self._held, ""
        return held

    def _possible_beginning(self, buffer: str) -> int:
        """Length of the longest end of the buffer that is the beginning of a stop string."""
        for length in range(min(self._longest - 1, len(buffer)), 0, -1):
            if any(stop.startswith(buffer[-length:]) for stop in self._stops):
                return length
        return 0
