"""Which format a file has: by its first bytes, and where these leave it open by the ending of its name."""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path
from typing import Literal

from serving.weights.space import human
from tuning.data.errors import DataError, room
from tuning.data.files import COMPRESSED, TABLES, DataFile, ending

Format = Literal["csv", "json", "jsonl", "parquet", "arrow", "arrow_stream"]

_HEAD = 2**16
"""Bytes that are looked at."""
_CHUNK = 2**20
_GZIP = b"\x1f\x8b"
_PARQUET = b"PAR1"
_ARROW = b"ARROW1"
_ARROW_STREAM = b"\xff\xff\xff\xff"
"""What a message of the stream begins with: https://arrow.apache.org/docs/format/Columnar.html#encapsulated-message-format"""
_LFS = b"version https://git-lfs.github.com/spec/"
_OTHERS: dict[bytes, str] = {
    b"PK\x03\x04": "a ZIP archive or a spreadsheet: unpack it, or export it as csv",
    b"\x28\xb5\x2f\xfd": "compressed with zstd: decompress it, or compress it with gzip",
    b"BZh": "compressed with bzip2: decompress it, or compress it with gzip",
    b"\xfd7zXZ": "compressed with xz: decompress it, or compress it with gzip",
    b"%PDF": "a PDF: write its text as jsonl",
    b"SQLite format 3": "an SQLite database: export a table as csv",
    b"FEA1": "Feather of version 1: write it with pyarrow.feather.write_feather, or as parquet",
    b"PARE": "encrypted parquet: decrypt it",
    b"\x80\x04": "a pickle, which is not read as it may run code: write it as parquet",
    b"\x80\x05": "a pickle, which is not read as it may run code: write it as parquet",
    b"ORC": "ORC: write it as parquet",
    b"Obj\x01": "Avro: write it as parquet",
}
_TAR_AT, _TAR = 257, b"ustar"
_NO_TABLES = (*(set(TABLES) - {".csv", ".tsv"}), ".txt", ".md", ".yaml", ".yml", ".xml", ".html", ".py")
"""Endings of files that are no csv, although they may be text; a URL ends with anything."""


def plain(file: DataFile, directory: Path, most: int) -> DataFile:
    """The file, decompressed below `directory` if it is compressed with gzip.

    Raises DataError: DataUnreadable for what is cut off or damaged, DataTooLarge where more than `most` bytes come out,
    NoSpace.
    """
    with file.path.open("rb") as start:
        if start.read(len(_GZIP)) != _GZIP:
            return file
    directory.mkdir(parents=True, exist_ok=True)
    out = directory / f"{file.digest().partition(':')[2][:16]}-{file.path.name.lower().removesuffix(COMPRESSED)}"
    done = 0
    with room(directory, 0, f"decompressing {file.name}"), out.open("wb") as to:
        try:
            with gzip.open(file.path) as packed:
                while chunk := packed.read(_CHUNK):
                    done += len(chunk)
                    if done > most:
                        raise DataError(
                            "DataTooLarge",
                            f"{file.name} is larger than {human(most)} when it is decompressed: split it, or raise "
                            "tuning.input.maxGib",
                        )
                    to.write(chunk)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(
                "DataUnreadable", f"{file.name} is cut off or damaged ({error}): compress or upload it again"
            ) from error
    return DataFile(path=out, name=file.name)


def detect(file: DataFile) -> Format:
    """The format of a file that is not compressed. Raises DataError: DataEmpty, DataUnreadable."""
    with file.path.open("rb") as start:
        head = start.read(_HEAD)
    if not head.strip():
        raise DataError("DataEmpty", f"{file.name} is empty: write the data into it, or leave it out")
    if head.startswith(_PARQUET):
        return "parquet"
    if head.startswith(_ARROW):
        return "arrow"
    if head.startswith(_ARROW_STREAM):
        return "arrow_stream"
    _refuse_what_is_none(file, head)
    return _of_text(file, head)


def encoding(file: DataFile) -> str:
    """UTF-8, with or without its mark, unless the file begins with that of UTF-16."""
    with file.path.open("rb") as start:
        mark = start.read(2)
    return "utf-16" if mark in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"


def _refuse_what_is_none(file: DataFile, head: bytes) -> None:
    if head.startswith(_LFS):
        raise DataError(
            "DataUnreadable",
            f"{file.name} is a pointer of Git LFS and not the data: run git lfs pull where it comes from, or use the "
            "URL that the data is downloaded from",
        )
    begins = head[:_CHUNK].lstrip().lower()
    if begins.startswith((b"<!doctype", b"<html", b"<head", b"<?xml")):
        raise DataError(
            "DataUnreadable",
            f"{file.name} is a web page and not the data, such as a login or the page about a file: use the URL that "
            "the data is downloaded from",
        )
    for magic, what in _OTHERS.items():
        if head.startswith(magic):
            raise DataError("DataUnreadable", f"{file.name} is {what}")
    if head[_TAR_AT:].startswith(_TAR):
        raise DataError("DataUnreadable", f"{file.name} is a tar archive: unpack it, and write its samples as jsonl")
    if b"\0" in head and encoding(file) != "utf-16":
        raise DataError(
            "DataUnreadable", f"{file.name} is neither csv, json, jsonl, parquet nor arrow: write it as one of them"
        )


def _of_text(file: DataFile, head: bytes) -> Format:
    text = head.decode(encoding(file), errors="replace").lstrip("\ufeff \t\r\n")
    suffix = ending(file.path.name)
    if text.startswith("["):
        return "json"
    if text.startswith("{"):
        return "jsonl" if suffix in (".jsonl", ".ndjson") or _is_lines(text) else "json"
    if suffix not in _NO_TABLES:
        return "csv"
    raise DataError(
        "DataUnreadable",
        f"{file.name} is named {suffix} and begins with {text[:20]!r}, which is none of csv, json, jsonl, parquet and "
        "arrow: write it as one of them",
    )


def _is_lines(text: str) -> bool:
    """Whether the text, the beginning of a file, has one object a line rather than one object."""
    line, _, rest = text.partition("\n")
    try:
        only = json.loads(line)
    except (ValueError, RecursionError):
        # Either an object that goes over several lines, or a first line that is long or broken.
        return rest.lstrip().startswith("{") and not line.rstrip().endswith(("{", "[", ","))
    return bool(rest.strip()) or rows_within(only) is None


def rows_within(value: object) -> list[object] | None:
    """The rows that an object of JSON has in one of its fields, None where it is itself a row."""
    lists = [each for each in value.values() if _is_list_of_rows(each)] if isinstance(value, dict) else []
    return lists[0] if len(lists) == 1 else None


def _is_list_of_rows(value: object) -> bool:
    """Messages of a conversation are objects as well, but have somebody who says them."""
    if not isinstance(value, list) or not value or not all(isinstance(each, dict) for each in value):
        return False
    return not any("role" in each or "from" in each for each in value)
