"""The whole step, from a job's source to rows and a report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from presets.tuning_job import TuningJob, TuningProgress
from tuning.data import report
from tuning.data.columns import Understood, understand
from tuning.data.download import sha256_of
from tuning.data.read import read
from tuning.data.rows import Data
from tuning.data.source import files_of
from tuning.data.split import duplicates, split
from tuning.errors import TuningError
from tuning.progress import Say

REPORT = "data-report.json"


def load(job: TuningJob, tokenizer: PreTrainedTokenizerBase, say: Say) -> Data:
    """All rows in memory. Raises TuningError with one of the package's reasons, and WeightsError."""
    directory = Path(job.directory)
    files = files_of(job.data, directory / "data", say)
    digests = {name: f"sha256:{sha256_of(path)}" for name, path in files.items()}
    say(TuningProgress(phase="data", message=f"reading {', '.join(files)}"[:200]))
    records = [record for name, path in files.items() for record in read(name, path)]
    if not records:
        raise TuningError("DataEmpty", f"{', '.join(files)}: there are no rows")
    understood = understand(records, job.data, bool(tokenizer.chat_template))
    counted = report.sizes([row for _, row in understood.rows], tokenizer)
    understood, counted = _learnable(understood, counted, job.max_length)
    rows = [row for _, row in understood.rows]
    train, held_out = split(rows, job)
    summary = report.write(
        directory / REPORT,
        understood,
        counted,
        job.max_length,
        train=len(train),
        held_out=len(held_out),
        duplicates=duplicates(rows),
        digests=digests,
    )
    say(TuningProgress(phase="data", message=summary))
    return Data(
        kind=understood.kind,
        train=train,
        held_out=held_out,
        digests=digests,
        report=directory / REPORT,
        summary=summary,
    )


def _learnable(
    understood: Understood, counted: list[report.Sizes], max_length: int
) -> tuple[Understood, list[report.Sizes]]:
    """Without the rows whose question alone is as long as a row may be: their answer is cut off."""
    pairs = list(zip(understood.rows, counted, strict=True))
    kept = [(row, size) for row, size in pairs if size.asked < max_length]
    lost = [row for row, size in pairs if size.asked >= max_length]
    if not kept:
        longest = max(size.whole for size in counted)
        raise TuningError(
            "DataEmpty",
            f"the questions alone have {max_length:,} tokens or more in all {len(pairs)} rows, so that no answer is "
            f"left to learn: raise TrainingArguments.max_length, up to {longest:,}",
        )
    empty = (*understood.empty, *(record for record, _ in lost))
    return replace(understood, rows=tuple(row for row, _ in kept), empty=empty), [size for _, size in kept]
