"""A file to its records. What it is shows in its first bytes; its name only tells csv from json lines and from text."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet

from tuning.errors import TuningError

_PARQUET, _ARROW, _GZIP = b"PAR1", b"ARROW1", b"\x1f\x8b"
_STREAM = b"\xff\xff\xff\xff"
"""How an Arrow stream begins, which has no magic."""
_TOLD = 5
"""Broken rows that are named."""
csv.field_size_limit(2**30)  # a document may be one field


@dataclass(frozen=True, kw_only=True)
class Record:
    """A row of a file, as it stands there."""

    file: str
    number: int
    """From 1; of a csv file without its header."""
    fields: Mapping[str, Any]


def read(name: str, path: Path) -> list[Record]:
    """Raises TuningError: DataEmpty, DataUnreadable, DataRowBroken."""
    raw_head = _head(path)
    if not raw_head:
        raise TuningError("DataEmpty", f"{name} has no bytes: is it the right file?")
    packed = raw_head.startswith(_GZIP)
    head = _unpacked_head(name, path) if packed else raw_head
    plain = name.lower().removesuffix(".gz")
    _refuse_pages(name, head)
    if head.startswith((_PARQUET, _ARROW, _STREAM)):
        rows = list(_table(name, path, head, packed))
        return [Record(file=name, number=number, fields=row) for number, row in enumerate(rows, 1)]
    text = _text(name, path, packed)
    if not text.strip():
        raise TuningError("DataEmpty", f"{name} has no rows: is it the right file?")
    first = text.lstrip()[0]
    if first == "[" and not plain.endswith((".csv", ".tsv", ".txt")):
        records = _whole(name, text)
    elif first == "{" and not plain.endswith((".csv", ".tsv", ".txt")):
        records = _lines(name, text)
    elif plain.endswith(".txt"):
        records = [(number, {"text": line}) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    elif plain.endswith((".json", ".jsonl", ".ndjson")):
        raise TuningError("DataUnreadable", f"{name} is no JSON: it begins with {text.lstrip()[:40]!r}")
    else:
        records = _table_of_text(name, text, "\t" if plain.endswith(".tsv") else ",")
    return [Record(file=name, number=number, fields=fields) for number, fields in records]


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(512)


def _unpacked_head(name: str, path: Path) -> bytes:
    try:
        with gzip.open(path) as file:
            return file.read(512)
    except (OSError, EOFError) as error:
        raise TuningError("DataUnreadable", f"{name} is damaged ({error}): fetch or make it again") from error


def _refuse_pages(name: str, head: bytes) -> None:
    start = head.lstrip()[:64].lower()
    if start.startswith((b"<!doctype html", b"<html", b"<?xml")):
        raise TuningError(
            "DataUnreadable",
            f"{name} is a web page and no data: it may ask for a login, or lead to a page about the file; use the "
            "URL of the file itself",
        )
    if start.startswith(b"version https://git-lfs"):
        raise TuningError("DataUnreadable", f"{name} is a git-lfs pointer and not the file: use the URL of the file")


def _table(name: str, path: Path, head: bytes, packed: bool) -> Iterator[Mapping[str, Any]]:
    source: Any = io.BytesIO(gzip.decompress(path.read_bytes())) if packed else path
    try:
        if head.startswith(_PARQUET):
            table = pyarrow.parquet.read_table(source)
        elif head.startswith(_ARROW):
            table = pyarrow.feather.read_table(source)
        else:
            with pa.ipc.open_stream(source if packed else pa.memory_map(str(path))) as stream:
                table = stream.read_all()
    except (pa.ArrowException, OSError, EOFError) as error:
        raise TuningError(
            "DataUnreadable", f"{name} is truncated or damaged ({str(error)[:200]}): fetch or make it again"
        ) from error
    for batch in table.to_batches():
        yield from batch.to_pylist()


def _text(name: str, path: Path, packed: bool) -> str:
    try:
        raw = gzip.decompress(path.read_bytes()) if packed else path.read_bytes()
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TuningError(
            "DataUnreadable", f"{name} is no text in UTF-8 (byte {error.start}), nor parquet or arrow: convert it"
        ) from error
    except (OSError, EOFError) as error:
        raise TuningError("DataUnreadable", f"{name} is damaged ({error}): fetch or make it again") from error


def _whole(name: str, text: str) -> list[tuple[int, Mapping[str, Any]]]:
    """A list of objects."""
    try:
        rows = json.loads(text)
    except ValueError as error:
        raise TuningError("DataUnreadable", f"{name} is no JSON ({error}): correct it") from error
    return _objects(name, list(enumerate(rows, 1)))


def _lines(name: str, text: str) -> list[tuple[int, Mapping[str, Any]]]:
    """An object a line; or one object over several lines, whose only list is the rows."""
    rows: list[tuple[int, Any]] = []
    broken: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            rows.append((number, json.loads(line)))
        except ValueError as error:
            broken.append(f"row {number} ({error})")
    if broken and not rows:
        return _within(name, text)
    if broken:
        raise _broken(name, broken, "is no JSON")
    if len(rows) == 1 and isinstance(rows[0][1], dict):
        lists = [value for value in rows[0][1].values() if isinstance(value, list)]
        if len(lists) == 1 and lists[0] and all(isinstance(each, dict) and "role" not in each for each in lists[0]):
            return _objects(name, list(enumerate(lists[0], 1)))
    return _objects(name, rows)


def _within(name: str, text: str) -> list[tuple[int, Mapping[str, Any]]]:
    try:
        whole = json.loads(text)
    except ValueError as error:
        raise TuningError("DataUnreadable", f"{name} is no JSON ({error}): correct it") from error
    lists = [value for value in whole.values() if isinstance(value, list)]
    if len(lists) != 1:
        raise TuningError(
            "DataUnreadable", f"{name} is one object with {len(lists)} lists: write a list of rows, or a row a line"
        )
    return _objects(name, list(enumerate(lists[0], 1)))


def _objects(name: str, rows: list[tuple[int, Any]]) -> list[tuple[int, Mapping[str, Any]]]:
    broken = [f"row {number}" for number, row in rows if not isinstance(row, dict)]
    if broken:
        raise _broken(name, broken, "is no object")
    return rows


def _table_of_text(name: str, text: str, delimiter: str) -> list[tuple[int, Mapping[str, Any]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = next(reader)
        rows = list(enumerate(reader, 1))
    except csv.Error as error:
        raise TuningError("DataRowBroken", f"{name}, line {reader.line_num}: {error}: correct the quotes") from error
    rows = [(number, row) for number, row in rows if row]
    broken = [f"row {number} ({len(row)} fields)" for number, row in rows if len(row) != len(header)]
    if broken:
        raise _broken(name, broken, f"has not the {len(header)} fields of the header")
    return [(number, dict(zip(header, row, strict=True))) for number, row in rows]


def _broken(name: str, rows: list[str], what: str) -> TuningError:
    more = f" and {len(rows) - _TOLD} more" if len(rows) > _TOLD else ""
    verb = what if len(rows) == 1 else what.replace("is no", "are no").replace("has not", "have not")
    return TuningError("DataRowBroken", f"{name}: {', '.join(rows[:_TOLD])}{more} {verb}: correct or remove them")
