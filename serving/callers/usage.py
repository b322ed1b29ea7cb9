"""What each key has used since the replica began."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass
class Used:
    """By one key, of one model."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True)
class UsageLine:
    """`key` is its name; None: requests without a key, where none is needed."""

    key: str | None
    model: str
    used: Used


class UsageLedger:
    """Counts, by key and model. Models are those that are served, so that no caller can make it grow."""

    def __init__(self) -> None:
        self._lines: dict[tuple[str | None, str], Used] = {}

    def of(self, key: str | None, model: str) -> Used:
        """To be counted up."""
        return self._lines.setdefault((key, model), Used())

    def lines(self) -> Iterator[UsageLine]:
        """Sorted by key, then by model."""
        for (key, model), used in sorted(self._lines.items(), key=lambda item: (item[0][0] or "", item[0][1])):
            yield UsageLine(key, model, used)
