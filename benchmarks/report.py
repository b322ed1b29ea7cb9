"""What a benchmark leaves: a table for people, and the same as JSON with every single run."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.environment import PROJECT, Environment

RESULTS = PROJECT / "benchmarks" / "results"

Row = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Table:
    """A further table of a report."""

    title: str
    columns: Row
    rows: Sequence[Row]
    values: Sequence[Mapping[str, object]]
    """What the rows are made of, as numbers."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """One benchmark's outcome. All figures are in `runs`; `rows` are made of them."""

    name: str
    title: str
    environment: Environment
    columns: Row
    rows: Sequence[Row]
    notes: Sequence[str]
    """What has to be known to read the table: what could not be measured, and what disturbed it."""
    parameters: Mapping[str, object]
    runs: Sequence[Mapping[str, object]]
    text_columns: Row = ()
    """Those with words, which stand to the left."""
    tables: Sequence[Table] = ()
    """What the first table's figures make together."""

    def text(self) -> str:
        lines = [
            f"{self.name}: {self.title}",
            self.environment.text(),
            *table(self.columns, self.rows, self.text_columns),
        ]
        for more in self.tables:
            lines += ["", more.title, *table(more.columns, more.rows)]
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])

    def document(self) -> dict[str, object]:
        return {
            "benchmark": self.name,
            "title": self.title,
            "command": f"python {shlex.join(sys.orig_argv[1:])}",
            "environment": asdict(self.environment),
            "parameters": dict(self.parameters),
            "table": [dict(zip(self.columns, row, strict=True)) for row in self.rows],
            "tables": [
                {
                    "title": more.title,
                    "table": [dict(zip(more.columns, row, strict=True)) for row in more.rows],
                    "values": [dict(each) for each in more.values],
                }
                for more in self.tables
            ],
            "notes": list(self.notes),
            "runs": [dict(run) for run in self.runs],
        }

    def write(self, folder: Path = RESULTS) -> Path:
        """Write `<name>.json`; an older one is replaced."""
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{self.name}.json"
        partial = file.with_suffix(".partial")
        partial.write_text(json.dumps(_rounded(self.document()), indent=2, allow_nan=False) + "\n", encoding="utf-8")
        partial.replace(file)
        return file


def table(columns: Row, rows: Sequence[Row], text_columns: Row = ()) -> list[str]:
    """Lines with the cells in columns: the first one and those with text to the left, the others to the right.

    >>> table(("", "tokens/s"), [("modelyard", "61"), ("peer", "58 ± 2")])
    ['           tokens/s', 'modelyard        61', 'peer         58 ± 2']
    """
    every = [columns, *rows]
    widths = [max(len(row[column]) for row in every) for column in range(len(columns))]
    left = [index == 0 or name in text_columns for index, name in enumerate(columns)]

    def line(row: Row) -> str:
        cells = zip(row, widths, left, strict=True)
        return "  ".join(cell.ljust(width) if is_left else cell.rjust(width) for cell, width, is_left in cells)

    return [line(row).rstrip() for row in every]


def _rounded(value: object) -> object:
    """Without digits that no clock here can know."""
    match value:
        case float():
            return round(value, 6)
        case Mapping():
            return {str(key): _rounded(item) for key, item in value.items()}
        case list() | tuple():
            return [_rounded(item) for item in value]
        case _:
            return value
