"""Why data cannot be trained on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from serving.weights import space
from serving.weights.errors import WeightsError
from tuning.errors import TuningError

Reason = Literal[
    "ChatTemplateBroken",
    "ChatTemplateMissing",
    "DataChecksumMismatch",
    "DataColumnsUnknown",
    "DataEmpty",
    "DataNotFound",
    "DataRefused",
    "DataRowBroken",
    "DataTooFew",
    "DataTooLarge",
    "DataTooLong",
    "DataUnauthorized",
    "DataUnreachable",
    "DataUnreadable",
    "DirectoryNotWritable",
    "NoSpace",
]
"""ChatTemplateBroken: the job's chat template is no Jinja.
ChatTemplateMissing: the data holds conversations, and the model has no chat template.
DataChecksumMismatch: a file has another sha256 than the one asked for.
DataColumnsUnknown: a column that is named is not there, or none is known by its name.
DataEmpty: there are no rows, or nothing to learn in any of them.
DataNotFound: there is no such file, image, repository or split.
DataRefused: an address, a path or a link that leads where data must not come from.
DataRowBroken: rows that cannot be read or understood.
DataTooFew: rows cannot be held out, as there are too few.
DataTooLarge: a file is larger than tuning.input.maxGib, or than can be read in one piece.
DataTooLong: no example has anything to learn within max_length tokens.
DataUnauthorized: a server asks for a login, or refuses it.
DataUnreachable: a server does not answer, or not in a way that is of use.
DataUnreadable: a file is none of the formats, or damaged.
DirectoryNotWritable: the job's directory cannot be written to.
NoSpace: the disk of the job's directory is full."""

_OF_WEIGHTS: dict[str, Reason] = {
    "DownloadFailed": "DataUnreachable",
    "NoSpace": "NoSpace",
    "Unauthorized": "DataUnauthorized",
    "UnsafeArchive": "DataRefused",
    "WeightsCorrupt": "DataUnreadable",
    "WeightsNotFound": "DataNotFound",
}


class DataError(TuningError):
    """`reason` is one of `Reason`."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(reason, message)


@contextmanager
def translated() -> Iterator[None]:
    """Turn what registries, the hub and the disk raise in serving into ours."""
    try:
        yield
    except WeightsError as error:
        raise DataError(_OF_WEIGHTS[error.reason], error.message) from error


@contextmanager
def room(directory: Path, need: int, doing: str) -> Iterator[None]:
    """Raise NoSpace unless `need` bytes fit into `directory`, and when its disk fills up within the block."""
    settings = "the job's directory"
    with translated(), space.told(directory, doing, settings=settings):
        space.require(directory, need, doing, settings=settings)
        yield
