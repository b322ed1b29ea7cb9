"""Which rows are trained on, and which are held out. Rows that are the same never come to both."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence

from presets.tuning_job import TuningJob
from tuning.data.rows import Row
from tuning.errors import TuningError


def split(rows: Sequence[Row], job: TuningJob) -> tuple[tuple[Row, ...], tuple[Row, ...]]:
    """Trained on, held out. The same job and rows give the same. Raises TuningError (DataEmpty)."""
    order = list(rows)
    if job.data.shuffle:
        random.Random(job.data.shuffle_seed).shuffle(order)
    share = 1 - job.data.train_split if job.data.train_split < 1 else job.evaluation.split
    wanted = round(len(order) * share)
    if share > 0:
        wanted = max(1, wanted)
    if wanted >= len(order):
        raise TuningError(
            "DataEmpty",
            f"of {len(order)} rows {wanted} are to be held out, which leaves none to train on: give more rows, or "
            "write evaluation.split: 0",
        )
    held_out, seen = order[len(order) - wanted :], {_identity(row) for row in order[: len(order) - wanted]}
    twice = [row for row in held_out if _identity(row) in seen]
    apart = [row for row in held_out if _identity(row) not in seen]
    return (*order[: len(order) - wanted], *twice), tuple(apart)


def duplicates(rows: Sequence[Row]) -> int:
    """Rows that are there once more before."""
    return len(rows) - len({_identity(row) for row in rows})


def _identity(row: Row) -> str:
    return json.dumps(row, sort_keys=True, ensure_ascii=False)
