"""From a file to records: what its rows have, by column, with the number of each row.

Rows are numbered from 1. In csv the line with the columns' names does not count; in jsonl the number is that of the
line.
"""

from __future__ import annotations

import csv
import itertools
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet

from serving.weights.space import human
from tuning.data.errors import DataError
from tuning.data.files import DataFile
from tuning.data.formats import Format, encoding, rows_within

_BATCH = 1000
"""Rows that are read at once, and of which the columns of JSON are gathered."""
_MOST_JSON = 2**30
"""Bytes of a file with one JSON value, which takes several times as much memory."""
_DELIMITERS = ",;\t|"


@dataclass(frozen=True)
class Broken:
    """A row that is none; `why` goes on after "row 3: "."""

    why: str


Record = Mapping[str, Any] | Broken


@dataclass(frozen=True, kw_only=True)
class Table:
    columns: tuple[str, ...]
    """Of json and jsonl those of the first 1000 rows."""
    records: Iterator[tuple[int, Record]]
    """Read as they are asked for. Raises DataError (DataUnreadable) where the file is damaged further on."""


def read(file: DataFile, form: Format) -> Table:
    """Open a file that is not compressed. Raises DataError: DataUnreadable, DataTooLarge."""
    return _READERS[form](file)


def _csv(file: DataFile) -> Table:
    csv.field_size_limit(sys.maxsize)
    lines = _lines(file, newline="")
    first = next(lines)
    delimiter = max(_DELIMITERS, key=first.count)
    rows = csv.reader(itertools.chain([first], lines), delimiter=delimiter, strict=True)
    try:
        columns = [name.strip() for name in next(rows)]
    except csv.Error as error:
        raise DataError("DataUnreadable", f"{file.name} has no readable line of column names ({error})") from error
    if twice := sorted({name for name in columns if columns.count(name) > 1}):
        raise DataError("DataUnreadable", f"{file.name} has two columns called {twice[0]!r}: rename one of them")
    return Table(columns=tuple(columns), records=_csv_records(rows, columns))


def _csv_records(rows: Iterator[list[str]], columns: Sequence[str]) -> Iterator[tuple[int, Record]]:
    for number in itertools.count(1):
        try:
            fields = next(rows)
            while not fields:
                fields = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            # Where a quote is missing, nobody knows where the next row begins.
            yield number, Broken(f"it is no row of csv ({error})")
            return
        if len(fields) != len(columns):
            yield number, Broken(f"it has {len(fields)} fields, and there are {len(columns)} columns")
        else:
            yield number, dict(zip(columns, fields, strict=True))


def _jsonl(file: DataFile) -> Table:
    return _of_json(_json_records(_lines(file)))


def _json_records(lines: Iterator[str]) -> Iterator[tuple[int, Record]]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield number, _object(json.loads(line))
            except json.JSONDecodeError as error:
                yield number, Broken(f"it is no JSON ({error.msg} at column {error.colno})")
            except (ValueError, RecursionError) as error:
                yield number, Broken(f"it is no JSON ({error})")


def _json(file: DataFile) -> Table:
    if (size := file.path.stat().st_size) > _MOST_JSON:
        raise DataError(
            "DataTooLarge",
            f"{file.name} is one JSON value of {human(size)}, which is read in one piece, up to {human(_MOST_JSON)}: "
            "write it as jsonl, with an object a line",
        )
    try:
        value = json.loads("".join(_lines(file)))
    except (ValueError, RecursionError) as error:
        raise DataError(
            "DataUnreadable", f"{file.name} is no JSON ({error}): correct it, or write an object a line as jsonl"
        ) from error
    rows = value if isinstance(value, list) else rows_within(value)
    if rows is None:
        raise DataError(
            "DataUnreadable",
            f"{file.name} is one JSON object, and not with one list of rows in it: write a list of objects, or jsonl",
        )
    return _of_json(enumerate(map(_object, rows), 1))


def _of_json(records: Iterator[tuple[int, Record]]) -> Table:
    first = list(itertools.islice(records, _BATCH))
    columns = dict.fromkeys(name for _, record in first if not isinstance(record, Broken) for name in record)
    return Table(columns=tuple(columns), records=itertools.chain(first, records))


def _object(value: object) -> Record:
    if isinstance(value, dict):
        return value
    return Broken(f"it is {type(value).__name__} and not an object with columns")


def _parquet(file: DataFile) -> Table:
    opened = _of_arrow(file, lambda: pyarrow.parquet.ParquetFile(file.path, memory_map=True))
    return _batched(file, opened.schema_arrow, opened.iter_batches(batch_size=_BATCH))


def _arrow(file: DataFile) -> Table:
    opened = _of_arrow(file, lambda: pyarrow.ipc.open_file(pa.memory_map(str(file.path))))
    return _batched(file, opened.schema, (opened.get_batch(index) for index in range(opened.num_record_batches)))


def _arrow_stream(file: DataFile) -> Table:
    opened = _of_arrow(file, lambda: pyarrow.ipc.open_stream(pa.memory_map(str(file.path))))
    return _batched(file, opened.schema, iter(opened))


def _batched(file: DataFile, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> Table:
    def records() -> Iterator[tuple[int, Record]]:
        number = 0
        while (batch := _of_arrow(file, lambda: next(batches, None))) is not None:
            for offset in range(0, batch.num_rows, _BATCH):
                for row in _of_arrow(file, batch.slice(offset, _BATCH).to_pylist):
                    number += 1
                    yield number, row

    return Table(columns=tuple(schema.names), records=records())


def _of_arrow(file: DataFile, call: Callable[[], Any]) -> Any:  # noqa: ANN401 - what pyarrow returns
    try:
        return call()
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(
            "DataUnreadable",
            f"{file.name} is cut off or damaged ({' '.join(str(error).split())[:200]}): write or upload it again",
        ) from error


def _lines(file: DataFile, newline: str | None = None) -> Iterator[str]:
    """The lines of a text file. Raises DataError (DataUnreadable) where it is in another encoding."""
    name = encoding(file)
    with file.path.open(encoding=name, newline=newline) as text:
        lines = iter(text)
        for number in itertools.count(1):
            try:
                line = next(lines)
            except StopIteration:
                return
            except UnicodeError as error:
                raise DataError(
                    "DataUnreadable",
                    f"{file.name} is not in UTF-8, near line {number} ({error}): save it in UTF-8",
                ) from error
            yield line


_READERS: dict[Format, Callable[[DataFile], Table]] = {
    "csv": _csv,
    "json": _json,
    "jsonl": _jsonl,
    "parquet": _parquet,
    "arrow": _arrow,
    "arrow_stream": _arrow_stream,
}
