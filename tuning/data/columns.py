"""Records to rows: which columns have what, and why they are taken for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from presets.tuning_job import DataSettings
from tuning.data.read import Record
from tuning.data.rows import Kind, Row
from tuning.errors import TuningError

_TOLD = 5
"""Broken rows that are named."""
_ROLES = {"human": "user", "gpt": "assistant", "chatgpt": "assistant", "bot": "assistant"}
"""As ShareGPT has them, and what they are here."""
_KNOWN_ROLES = ("system", "user", "assistant", "tool")
_PAIRS = (("prompt", "completion"), ("question", "answer"), ("context", "response"))

_Make = Callable[[Mapping[str, Any]], Row]


class _Broken(Exception):
    """A record that is no row; the text says why."""


@dataclass(frozen=True, kw_only=True)
class Understood:
    """Rows with where they come from."""

    kind: Kind
    rows: tuple[tuple[Record, Row], ...]
    empty: tuple[Record, ...]
    """Left out: there is nothing to learn in them."""
    columns: str
    """Which columns are taken for what, and why."""


def understand(records: Sequence[Record], data: DataSettings, has_template: bool) -> Understood:
    """`has_template`: whether the model has a chat template, through which questions and answers go.

    Raises TuningError: DataColumnsUnknown, DataRowBroken, DataEmpty.
    """
    names = list(dict.fromkeys(name for record in records for name in record.fields))
    kind, columns, make = _meaning(names, data, has_template)
    rows: list[tuple[Record, Row]] = []
    empty: list[Record] = []
    broken: list[str] = []
    for record in records:
        try:
            row = make(record.fields)
        except _Broken as wrong:
            broken.append(f"{record.file}, row {record.number}: {wrong}")
            continue
        if _is_empty(row):
            empty.append(record)
        else:
            rows.append((record, row))
    if broken:
        more = f"; and {len(broken) - _TOLD} more" if len(broken) > _TOLD else ""
        raise TuningError("DataRowBroken", f"{'; '.join(broken[:_TOLD])}{more}: correct or remove them")
    if not rows:
        raise TuningError("DataEmpty", f"none of the {len(records)} rows has anything to learn: {columns}")
    return Understood(kind=kind, rows=tuple(rows), empty=tuple(empty), columns=columns)


def _meaning(names: Sequence[str], data: DataSettings, has_template: bool) -> tuple[Kind, str, _Make]:
    asked = [data.messages_column, data.context_column, data.response_column]
    for name in asked:
        if name is not None and name not in names:
            raise TuningError(
                "DataColumnsUnknown",
                f"there is no column {name}, which DatasetConfig names; there are: {', '.join(names) or 'none'}",
            )
    said = "as DatasetConfig says"
    if data.messages_column:
        return _conversation(data.messages_column, said, has_template)
    if data.context_column and data.response_column:
        return _pair(data.context_column, data.response_column, said, has_template)
    if data.response_column:
        return _plain(data.response_column, said)
    for name in ("messages", "conversations", "conversation"):
        if name in names:
            return _conversation(name, f"since there is a column {name}", has_template)
    for question, answer in _PAIRS:
        if question in names and answer in names:
            return _pair(question, answer, "since there are columns of these names", has_template)
    if "instruction" in names and "output" in names:
        return _alpaca("input" in names, has_template)
    if "text" in names:
        return _plain("text", "since there is a column text")
    raise TuningError(
        "DataColumnsUnknown",
        f"it is not clear what to learn from the columns {', '.join(names) or '(none)'}: name them as messages, prompt "
        "and completion, instruction and output, or text; or say which they are by DatasetConfig.messages_column, or "
        "context_column and response_column",
    )


def _plain(name: str, why: str) -> tuple[Kind, str, _Make]:
    return "text", f"{name} is plain text, {why}", lambda fields: {"text": _text(fields, name)}


def _pair(question: str, answer: str, why: str, has_template: bool) -> tuple[Kind, str, _Make]:
    def make(fields: Mapping[str, Any]) -> Row:
        asked, answered = fields.get(question), fields.get(answer)
        if isinstance(asked, list) and isinstance(answered, list):
            return {"prompt": _messages(asked), "completion": _messages(answered)}
        return _completion(_text(fields, question), _text(fields, answer), has_template)

    return "completion", f"{question} is asked and {answer} is learnt, {why}", make


def _alpaca(has_input: bool, has_template: bool) -> tuple[Kind, str, _Make]:
    def make(fields: Mapping[str, Any]) -> Row:
        parts = [_text(fields, "instruction"), _text(fields, "input") if has_input else ""]
        return _completion("\n\n".join(part for part in parts if part), _text(fields, "output"), has_template)

    return "completion", "instruction (with input) is asked and output is learnt, as in Alpaca's data", make


def _completion(question: str, answer: str, has_template: bool) -> Row:
    if not has_template:
        return {"prompt": question, "completion": answer}
    return {
        "prompt": [{"role": "user", "content": question}],
        "completion": [{"role": "assistant", "content": answer}],
    }


def _conversation(name: str, why: str, has_template: bool) -> tuple[Kind, str, _Make]:
    if not has_template:
        raise TuningError(
            "DataColumnsUnknown",
            f"{name} has conversations, and the model has no chat template: write ModelConfig.chat_template",
        )

    def make(fields: Mapping[str, Any]) -> Row:
        messages = _messages(fields.get(name))
        if messages and messages[-1]["role"] != "assistant":
            raise _Broken(f"{name} ends with {messages[-1]['role']}, so there is no answer to learn")
        return {"messages": messages}

    return "conversation", f"{name} has conversations, {why}", make


def _messages(value: Any) -> list[dict[str, str]]:  # noqa: ANN401 - whatever stands in a file
    if value is None:
        return []
    if not isinstance(value, list):
        raise _Broken(f"a conversation is a list of messages, not {type(value).__name__}")
    return [_message(each) for each in value]


def _message(value: Any) -> dict[str, str]:  # noqa: ANN401 - whatever stands in a file
    if not isinstance(value, Mapping):
        raise _Broken("a message is an object with role and content")
    role, content = value.get("role", value.get("from")), value.get("content", value.get("value"))
    role = _ROLES.get(str(role), role)
    if role not in _KNOWN_ROLES:
        raise _Broken(f"a message's role is {role!r}, and has to be one of {', '.join(_KNOWN_ROLES)}")
    if not isinstance(content, str):
        raise _Broken(f"the content of a message of {role} is no text")
    return {"role": str(role), "content": content}


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if value is None:
        return ""
    if isinstance(value, (list, dict)):
        raise _Broken(f"{name} is no text")
    return str(value)


def _is_empty(row: Row) -> bool:
    """Whether nothing is left to be learnt."""
    learnt = row.get("completion", row.get("text", row.get("messages")))
    if isinstance(learnt, list):
        return not any(each["content"].strip() for each in learnt if each["role"] == "assistant")
    return not str(learnt).strip()
