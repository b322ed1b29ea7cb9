"""All rows of all files, each with where it stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from presets.tuning_job import DataSettings
from tuning.data import columns as column_names
from tuning.data.columns import Columns
from tuning.data.errors import DataError
from tuning.data.files import DataFile
from tuning.data.formats import detect, plain
from tuning.data.messages import RowBroken
from tuning.data.read import Broken, Record, read
from tuning.data.rows import Row
from tuning.data.telling import Telling

MOST_NAMED = 5
"""Rows that a message names."""

Place = tuple[int, int]
"""The file's number from 0 and the row's from 1."""


@dataclass(kw_only=True)
class Examples:
    """`rows` and `places` belong together."""

    columns: Columns
    names: Sequence[str]
    """Of the files."""
    rows: list[Row] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    empty: list[Place] = field(default_factory=list)
    """Rows with nothing to learn, which are left out."""
    blanks: int = 0
    """Contents without text in rows that are kept."""

    def told(self, places: Sequence[Place]) -> str:
        """Rows as a message names them: the first five, with their file where there are several.

        >>> columns = Columns(kind="text", learned="text", why="")
        >>> Examples(columns=columns, names=["a.csv"]).told([(0, 3), (0, 7)])
        'rows 3, 7'
        """
        shown = places[:MOST_NAMED]
        by_file = {file: [str(row) for of, row in shown if of == file] for file, _ in shown}
        rows = [
            f"{'row' if len(rows) == 1 else 'rows'} {', '.join(rows)}"
            + (f" of {self.names[file]}" if len(self.names) > 1 else "")
            for file, rows in by_file.items()
        ]
        more = len(places) - len(shown)
        return ", ".join(rows) + (f" and {more} more" if more else "")


def read_all(
    files: Sequence[DataFile], settings: DataSettings, directory: Path, tell: Telling, *, has_template: bool
) -> Examples:
    """Every row of every file; what is compressed is decompressed below `directory`.

    Raises DataError: DataEmpty, DataUnreadable, DataTooLarge, DataColumnsUnknown, ChatTemplateMissing, DataRowBroken
    with the first five rows that are, NoSpace.
    """
    examples: Examples | None = None
    names = [file.name for file in files]
    for number, packed in enumerate(files):
        file = plain(packed, directory, settings.most_bytes)
        table = read(file, detect(file))
        problems = _Problems(file.name)
        if not table.columns:
            # Of json: there is no row, or none that could be read.
            for row, record in table.records:
                problems.add(row, record.why if isinstance(record, Broken) else "it is an object without columns")
            problems.end()
            continue
        if examples is None:
            chosen = column_names.choose(table.columns, settings, file.name)
            _must_be_trainable(chosen, file.name, has_template=has_template)
            examples = Examples(columns=chosen, names=names)
        else:
            column_names.must_be_in(examples.columns, table.columns, file.name)
        for row, record in table.records:
            _take(examples, (number, row), record, problems, has_template=has_template)
            tell.sometimes(f"reading {file.name}: {row} rows")
        problems.end()
    if examples is None or not examples.rows:
        raise _nothing(examples, names)
    return examples


class _Problems:
    """Rows of a file that are broken. Raises DataError (DataRowBroken) at the fifth one, or at the file's end."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._rows: dict[str, list[int]] = {}
        """By what is wrong with them."""

    def add(self, row: int, why: str) -> None:
        self._rows.setdefault(why, []).append(row)
        if sum(map(len, self._rows.values())) == MOST_NAMED:
            self._raise("; there may be more")

    def end(self) -> None:
        if self._rows:
            self._raise("")

    def _raise(self, more: str) -> None:
        told = "; ".join(
            f"{'row' if len(rows) == 1 else 'rows'} {', '.join(map(str, rows))}: {why}"
            for why, rows in self._rows.items()
        )
        raise DataError("DataRowBroken", f"{self._name}, {told}{more}: correct the rows, or take them out")


def _take(examples: Examples, place: Place, record: Record, problems: _Problems, *, has_template: bool) -> None:
    if isinstance(record, Broken):
        return problems.add(place[1], record.why)
    try:
        row, blanks = examples.columns.row(record, has_template=has_template)
    except RowBroken as broken:
        return problems.add(place[1], str(broken))
    if row is None:
        examples.empty.append(place)
    else:
        examples.rows.append(row)
        examples.places.append(place)
        examples.blanks += blanks
    return None


def _must_be_trainable(columns: Columns, name: str, *, has_template: bool) -> None:
    if columns.kind == "conversation" and not has_template:
        raise DataError(
            "ChatTemplateMissing",
            f"{name} has conversations in {columns.learned!r}, and the model has no chat template: set the job's chat "
            "template, tune an instruct model, or give data with questions and answers in two columns",
        )


def _nothing(examples: Examples | None, names: Sequence[str]) -> DataError:
    files = ", ".join(names[:MOST_NAMED])
    if examples is None or not examples.empty:
        return DataError("DataEmpty", f"there are no rows in {files}: write the data into it")
    return DataError(
        "DataEmpty",
        f"all {len(examples.empty)} rows of {files} are blank in the column {examples.columns.learned!r}, which is "
        "what is learned: name another column, or correct the data",
    )
