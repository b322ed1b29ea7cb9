"""Which slot of the cache a sequence gets, and what of its prompt is there already."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

_LEAST = 16
"""Shared tokens below which copying or keeping them is not worth the bookkeeping."""

_SPARE = 4
"""Free slots among which the one unused for longest is taken: so many finished conversations stay for their next turn.
More would scatter the running sequences, which attend together while they are neighbours."""


@dataclass(frozen=True)
class Contents:
    """Keys and values that a slot holds: of `tokens`, computed with what `key` names (an adapter and its strength)."""

    key: Hashable
    tokens: tuple[int, ...]


class Place(NamedTuple):
    """Where a sequence goes."""

    slot: int
    shared: int = 0
    """Tokens of its prompt that need not be computed."""
    source: int | None = None
    """The slot to copy these from; None: they are in `slot`."""


class SlotPool:
    """Hands out slots. A slot that was given back keeps its contents until it is taken for something else."""

    def __init__(self, slots: int) -> None:
        self._free = list(range(slots))
        self._kept: dict[int, Contents] = {}
        self._used_at = [0] * slots
        self._clock = 0

    def __len__(self) -> int:
        return len(self._free)

    def take(self, wanted: Contents, busy: Iterable[tuple[int, Contents]] = ()) -> Place:
        """A free slot for a prompt; the last token is never shared, since its logits are wanted.

        busy: the other slots and what they hold so far.
        """
        slot, shared, source = self._oldest(), 0, None
        for other, contents in (*busy, *self._kept.items()):
            common = _shared(wanted, contents)
            if common >= _LEAST and common > shared:
                shared, source = common, other
        if source in self._free and 2 * shared >= len(self._kept[source].tokens):
            # most of what it holds is of use, so nobody loses much; what follows is written over
            slot, source = source, None
        if source == slot:
            source = None
        self._free.remove(slot)
        self._kept.pop(slot, None)
        return Place(slot, shared, source)

    def give_back(self, slot: int, contents: Contents | None) -> None:
        """Free a slot; `contents` is what it holds, None if that is worth nothing."""
        self._clock += 1
        self._used_at[slot] = self._clock
        self._free.append(slot)
        self._free.sort()
        if contents is not None:
            self._kept[slot] = contents

    def _oldest(self) -> int:
        return min(self._free[:_SPARE], key=lambda slot: self._used_at[slot])


def _shared(wanted: Contents, held: Contents) -> int:
    """How many tokens both begin with, one less than are wanted at most."""
    if wanted.key != held.key:
        return 0
    low, high = 0, min(len(wanted.tokens) - 1, len(held.tokens))
    while low < high:
        middle = (low + high + 1) // 2
        if wanted.tokens[low:middle] == held.tokens[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
