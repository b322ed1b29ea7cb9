"""Which columns are what, and how a record becomes a row that trl takes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from presets.tuning_job import DataSettings
from tuning.data.errors import DataError
from tuning.data.messages import RowBroken, is_conversation, messages, text
from tuning.data.rows import Kind, Row


@dataclass(frozen=True, kw_only=True)
class _Known:
    """A way of naming columns: `first` and `last` have to be there, `more` may be."""

    first: str
    last: str = ""
    more: str = ""
    """What `first` is about, put behind it."""

    @property
    def needed(self) -> tuple[str, ...]:
        return tuple(name for name in (self.first, self.last) if name)


_CONVERSATIONS = (_Known(first="messages"), _Known(first="conversations"))
_QUESTIONS = (
    _Known(first="prompt", last="completion"),
    _Known(first="instruction", last="output", more="input"),  # Alpaca
    _Known(first="instruction", last="response", more="context"),  # Dolly
    _Known(first="question", last="answer"),
    _Known(first="context", last="response"),
)
_TEXT = (_Known(first="text"),)
_ORDER = (*_CONVERSATIONS, *_QUESTIONS, *_TEXT)


@dataclass(frozen=True, kw_only=True)
class Columns:
    """How rows are made of records. `asked` is empty for plain text and for conversations."""

    kind: Kind
    asked: tuple[str, ...] = ()
    """One column, or two of which the second is put behind the first."""
    learned: str
    """What is learned: the answer, the text, or the conversation."""
    why: str

    @property
    def all(self) -> tuple[str, ...]:
        return (*self.asked, self.learned)

    def row(self, record: Mapping[str, Any], *, has_template: bool) -> tuple[Row | None, int]:
        """A row, None where nothing is to be learned from it, and how many other contents of it are blank. Raises
        RowBroken."""
        if self.kind == "conversation":
            return _conversation(record.get(self.learned), self.learned)
        if self.kind == "text":
            content = text(record.get(self.learned), self.learned)
            return ({"text": content} if content.strip() else None), 0
        return self._completion(record, has_template=has_template)

    def _completion(self, record: Mapping[str, Any], *, has_template: bool) -> tuple[Row | None, int]:
        answer = record.get(self.learned)
        if is_conversation(record.get(self.asked[0])):
            if not has_template:
                raise RowBroken(f"{self.asked[0]} has messages, and the model has no chat template for them")
            return _of_messages(record, self.asked[0], self.learned)
        answer = text(answer, self.learned)
        if not answer.strip():
            return None, 0
        parts = [text(record.get(name), name) for name in self.asked]
        prompt = "\n\n".join([parts[0], *(part for part in parts[1:] if part.strip())])
        blank = int(not prompt.strip())
        if not has_template:
            return {"prompt": prompt, "completion": answer}, blank
        return {
            "prompt": [{"role": "user", "content": prompt}],
            "completion": [{"role": "assistant", "content": answer}],
        }, blank


def choose(columns: Sequence[str], settings: DataSettings, name: str) -> Columns:
    """What the settings name, else what the columns' names tell, in the order of KAITO's and of common data sets.

    `name` is the file's, for messages. Raises DataError (DataColumnsUnknown).
    """
    if settings.messages_column or settings.context_column or settings.response_column:
        return _named(columns, settings, name)
    by_lower = {column.lower().strip(): column for column in reversed(columns)}
    for known in _ORDER:
        if all(column in by_lower for column in known.needed):
            return _guessed(known, by_lower)
    expected = "; ".join(" and ".join(known.needed) for known in _ORDER)
    raise DataError(
        "DataColumnsUnknown",
        f"{name} has {_listed(columns)}, which tells nothing of what to learn: name DatasetConfig.messages_column, or "
        f"DatasetConfig.response_column with DatasetConfig.context_column, or rename them to one of: {expected}",
    )


def must_be_in(columns: Columns, there: Sequence[str], name: str) -> None:
    """Raise DataError (DataColumnsUnknown) for another file that lacks what the first one has."""
    for column in (*columns.asked[:1], columns.learned):
        if column not in there:
            raise DataError(
                "DataColumnsUnknown",
                f"{name} has no column {column!r}, which the first file has; it has {_listed(there)}: give all files "
                "the same columns",
            )


def _named(columns: Sequence[str], settings: DataSettings, name: str) -> Columns:
    for option in ("messages_column", "context_column", "response_column"):
        column = getattr(settings, option)
        if column and column not in columns:
            raise DataError(
                "DataColumnsUnknown",
                f"data.{option} is {column!r}, and {name} has {_listed(columns)}: write one of them",
            )
    if settings.messages_column:
        return Columns(
            kind="conversation", learned=settings.messages_column, why="DatasetConfig.messages_column names it"
        )
    if not settings.response_column:
        raise DataError(
            "DataColumnsUnknown",
            f"DatasetConfig.context_column is set and response_column is not: write one of {', '.join(columns)}",
        )
    if not settings.context_column:
        why = "DatasetConfig.response_column names it, and without DatasetConfig.context_column it is plain text"
        return Columns(kind="text", learned=settings.response_column, why=why)
    why = "DatasetConfig.context_column and DatasetConfig.response_column name them"
    return Columns(kind="completion", asked=(settings.context_column,), learned=settings.response_column, why=why)


def _guessed(known: _Known, by_lower: Mapping[str, str]) -> Columns:
    if known in _CONVERSATIONS:
        why = f"a column is called {known.first}, as those with conversations are"
        return Columns(kind="conversation", learned=by_lower[known.first], why=why)
    if known in _TEXT:
        why = "a column is called text, and none as a question or an answer is"
        return Columns(kind="text", learned=by_lower[known.first], why=why)
    more = (known.more,) if known.more in by_lower else ()
    asked = (by_lower[known.first], *(by_lower[name] for name in more))
    why = f"columns are called {' and '.join((known.first, *more, known.last))}, as questions and their answers are"
    return Columns(kind="completion", asked=asked, learned=by_lower[known.last], why=why)


def _conversation(value: object, column: str) -> tuple[Row | None, int]:
    said = messages(_from_json(value), column)
    if not said:
        return None, 0
    if said[-1]["role"] != "assistant":
        raise RowBroken(f"the last message is from {said[-1]['role']}, and the assistant's is what is learned")
    if not said[-1]["content"].strip():
        return None, 0
    return {"messages": said}, sum(not message["content"].strip() for message in said)


def _of_messages(record: Mapping[str, Any], asked: str, learned: str) -> tuple[Row | None, int]:
    """A question that is a list of messages, as trl has it; its answer may be a list as well."""
    prompt = messages(record[asked], asked)
    answer = record.get(learned)
    said = (
        messages(answer, learned)
        if is_conversation(answer)
        else [{"role": "assistant", "content": text(answer, learned)}]
    )
    if not said or not said[-1]["content"].strip():
        return None, 0
    if said[-1]["role"] != "assistant":
        raise RowBroken(
            f"the last message of {learned} is from {said[-1]['role']}, and the assistant's is what is learned"
        )
    blank = sum(not message["content"].strip() for message in (*prompt, *said))
    return {"prompt": prompt, "completion": said}, blank


def _from_json(value: object) -> object:
    """csv has a conversation as text."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError) as error:
            raise RowBroken(f"its conversation is no JSON ({error})") from error
    return value


def _listed(columns: Sequence[str]) -> str:
    shown = ", ".join(repr(column)[:60] for column in columns[:20])
    return f"the columns {shown}" if len(columns) != 1 else f"the one column {shown}"
