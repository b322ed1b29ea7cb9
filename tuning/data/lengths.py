"""How many tokens rows are, and which have nothing to learn within max_length."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from transformers import PreTrainedTokenizerBase

from presets.tuning_job import TuningJob
from tuning.data.errors import DataError
from tuning.data.examples import MOST_NAMED, Examples
from tuning.data.rows import Row
from tuning.data.telling import Telling
from tuning.data.template import Refused, Renderer, asked_messages, is_plain

SAMPLE = 20_000
"""Rows of which the tokens are counted."""
_BATCH = 256
"""Rows that are tokenized at once."""
_SPECIAL_BYTES = 64
"""More than the special tokens that a tokenizer puts around plain text."""


@dataclass(frozen=True, kw_only=True)
class Lengths:
    rows: tuple[int, ...]
    """Numbers of the rows that were counted, ascending."""
    tokens: tuple[int, ...]
    """Of each of them, uncut."""
    filled: frozenset[int]
    """Of all rows those whose question alone takes max_length tokens."""


def lengths(
    examples: Examples, job: TuningJob, tokenizer: PreTrainedTokenizerBase, renderer: Renderer, tell: Telling
) -> Lengths:
    """Of all rows, or of 20,000 drawn by data.shuffle_seed; whether a question leaves room is looked at in every row
    that is long enough. Raises DataError: DataRowBroken for rows that the chat template refuses, ChatTemplateBroken,
    DataTooLong where no row is left."""
    count = len(examples.rows)
    numbers: Sequence[int] = range(count)
    if count > SAMPLE:
        numbers = sorted(random.Random(job.data.shuffle_seed).sample(numbers, SAMPLE))
    counter = _Counter(tokenizer, renderer)
    refused: list[tuple[int, str]] = []
    tokens: list[int] = []
    for batch in _batches(numbers):
        tokens += counter.whole(examples.rows, batch, refused)
        if len(refused) >= MOST_NAMED:
            break
        tell.sometimes(f"counting tokens: {len(tokens)} of {len(numbers)} rows")
    if refused:
        places = [examples.places[number] for number, _ in refused]
        raise DataError(
            "DataRowBroken",
            f"{examples.told(places)} of {', '.join(examples.names[:MOST_NAMED])}: the model's chat template does not "
            f"take them ({refused[0][1]}): correct them, or set another chat template",
        )
    learns_all = examples.columns.kind == "text" or not job.assistant_only_loss
    known = dict(zip(numbers, tokens, strict=True))
    filled = frozenset[int]() if learns_all else counter.filled(examples.rows, known, job.max_length)
    if len(filled) == count:
        raise DataError(
            "DataTooLong",
            f"in all {count} rows what is asked takes max_length, {job.max_length} tokens, and nothing is left to "
            "learn: raise max_length, or shorten the questions",
        )
    return Lengths(rows=tuple(numbers), tokens=tuple(tokens), filled=filled)


class _Counter:
    def __init__(self, tokenizer: PreTrainedTokenizerBase, renderer: Renderer) -> None:
        self._tokenizer = tokenizer
        self._renderer = renderer

    def whole(self, rows: Sequence[Row], numbers: Sequence[int], refused: list[tuple[int, str]]) -> list[int]:
        """Tokens of some rows; those that the template refuses are put into `refused`, with why."""
        texts: list[str] = []
        for number in numbers:
            try:
                texts.append(self._renderer.whole(rows[number]))
            except Refused as error:
                refused.append((number, str(error)))
        return self._count(texts, special=is_plain(rows[0])) if not refused else []

    def filled(self, rows: Sequence[Row], known: dict[int, int], most: int) -> frozenset[int]:
        """Rows with `most` tokens or more before the first answer; `known` has the tokens of whole rows."""
        plain = is_plain(rows[0])
        question: Row = {"prompt": [{"role": "user", "content": ""}], "completion": []}
        # Where the template takes no question alone, every long row is looked at.
        added = _SPECIAL_BYTES if plain else len(self._asked(question).encode()) or most
        # A token is at least a byte, so that most rows need not be looked at.
        long = [
            number
            for number, row in enumerate(rows)
            if known.get(number, most + 1) > most and _most_tokens_asked(row, added) >= most
        ]
        found: set[int] = set()
        for batch in _batches(long):
            counts = self._count([self._asked(rows[number]) for number in batch], special=plain)
            found |= {number for number, count in zip(batch, counts, strict=True) if count >= most}
        return frozenset(found)

    def _asked(self, row: Row) -> str:
        try:
            return self._renderer.asked(row)
        except Refused:
            # Some templates take no part of a conversation; trl finds out what is left of it.
            return ""

    def _count(self, texts: Sequence[str], *, special: bool) -> list[int]:
        encoded = self._tokenizer(list(texts), add_special_tokens=special, verbose=False)
        return [len(ids) for ids in cast("Iterable[Sequence[int]]", encoded["input_ids"])]


def _most_tokens_asked(row: Row, added: int) -> int:
    """A bound in bytes; `added` is what comes with each message."""
    if is_plain(row):
        return len(row["prompt"].encode()) + added
    return sum(len(message["content"].encode()) + added for message in asked_messages(row))


def _batches(numbers: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(numbers), _BATCH):
        yield numbers[start : start + _BATCH]
