"""Which rows are trained on and which are held out."""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from presets.tuning_job import TuningJob
from tuning.data.errors import DataError
from tuning.data.rows import Row


@dataclass(frozen=True, kw_only=True)
class Split:
    """Numbers of rows, in the order in which they are used."""

    train: tuple[int, ...]
    held_out: tuple[int, ...]
    duplicates: int
    """Rows that say what an earlier one says, word for word."""

    def of(self, numbers: Sequence[int]) -> Split:
        """The same split of rows with other numbers."""
        return Split(
            train=tuple(numbers[number] for number in self.train),
            held_out=tuple(numbers[number] for number in self.held_out),
            duplicates=self.duplicates,
        )


def held_out_part(job: TuningJob) -> float:
    """Part of the rows that is not trained on: data.train_split where it says so, otherwise evaluation.split."""
    return 1 - job.data.train_split if job.data.train_split < 1 else job.evaluation.split


def split(rows: Sequence[Row], job: TuningJob) -> Split:
    """Shuffled by data.shuffle_seed, if at all; the same rows and settings give the same split.

    Rows that are there more than once are trained on, all of them: held out, they would be known already. Of the others
    the first are held out of a shuffled order, and the last of one that is kept. Raises DataError (DataTooFew).
    """
    order = list(range(len(rows)))
    if job.data.shuffle:
        random.Random(job.data.shuffle_seed).shuffle(order)
    digests = [_digest(row) for row in rows]
    times = Counter(digests)
    duplicates = len(rows) - len(times)
    part = held_out_part(job)
    if not part:
        return Split(train=tuple(order), held_out=(), duplicates=duplicates)
    if len(rows) < 2:
        raise DataError(
            "DataTooFew",
            "there is one row alone, and one has to be held out: give more rows, or set evaluation.split to 0",
        )
    single = [number for number in order if times[digests[number]] == 1]
    if not single:
        raise DataError(
            "DataTooFew",
            f"all {len(rows)} rows are there more than once, so none can be held out that is not trained on: give more "
            "rows, or set evaluation.split to 0",
        )
    wanted = min(max(1, round(part * len(rows))), len(rows) - 1, len(single))
    held_out = single[:wanted] if job.data.shuffle else single[-wanted:]
    apart = set(held_out)
    train = tuple(number for number in order if number not in apart)
    return Split(train=train, held_out=tuple(held_out), duplicates=duplicates)


def _digest(row: Row) -> bytes:
    return hashlib.blake2b(json.dumps(row, sort_keys=True).encode(), digest_size=16).digest()
