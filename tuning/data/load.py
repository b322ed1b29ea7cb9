"""The whole data step."""

from __future__ import annotations

from pathlib import Path

from transformers import PreTrainedTokenizerBase

from presets.tuning_job import TuningJob
from tuning.data import report as reports
from tuning.data.errors import DataError
from tuning.data.examples import read_all
from tuning.data.lengths import lengths
from tuning.data.rows import Data
from tuning.data.source import fetch
from tuning.data.split import split
from tuning.data.telling import Telling
from tuning.data.template import Renderer
from tuning.progress import Say


def load(job: TuningJob, tokenizer: PreTrainedTokenizerBase, say: Say) -> Data:
    """Fetch, read, check, split and describe the data of a job. `tokenizer` is the base model's.

    All rows are held in memory, some kilobytes each: meant for up to some million rows. What is fetched lies below
    job.directory/data, the report at job.directory/data-report.json. Raises DataError, with every reason there is.
    """
    directory, tell = Path(job.directory), Telling(say)
    try:
        (directory / "data").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            "DirectoryNotWritable",
            f"the job's directory {directory} cannot be written to ({error.strerror}): change its mode or owner",
        ) from error
    renderer = Renderer(job, tokenizer)
    files = fetch(job.data, directory / "data", tell)
    tell.now(f"reading {len(files)} files" if len(files) > 1 else f"reading {files[0].name}")
    digests = {file.name: file.digest() for file in files}
    examples = read_all(files, job.data, directory / "data" / "plain", tell, has_template=renderer.has_template)
    tell.now(f"counting the tokens of {len(examples.rows)} rows")
    found = lengths(examples, job, tokenizer, renderer, tell)
    numbers = [number for number in range(len(examples.rows)) if number not in found.filled]
    parts = split([examples.rows[number] for number in numbers], job).of(numbers)
    report = reports.Report(
        examples=examples,
        split=parts,
        lengths=found,
        tokens=reports.token_counts(found, len(numbers), job.max_length),
        digests=digests,
    )
    report.write(directory / reports.FILE)
    tell.now(report.summary)
    return Data(
        kind=examples.columns.kind,
        train=tuple(examples.rows[number] for number in parts.train),
        held_out=tuple(examples.rows[number] for number in parts.held_out),
        digests=digests,
        report=directory / reports.FILE,
        summary=report.summary,
    )
