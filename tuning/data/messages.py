"""Contents and conversations of a record, as chat templates take them."""

from __future__ import annotations

import json
from collections.abc import Mapping

Message = dict[str, str]
"""role: system, user, assistant or tool; content."""

_ROLES = {
    "system": "system",
    "developer": "system",  # OpenAI's newer name
    "user": "user",
    "human": "user",  # ShareGPT
    "assistant": "assistant",
    "gpt": "assistant",  # ShareGPT
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
}
_SHAREGPT = ("from", "value")
_OURS = ("role", "content")


class RowBroken(Exception):
    """Its text goes on after "row 3: "."""


def text(value: object, column: str) -> str:
    """What a column holds, as text; "" for what is missing. Numbers are written as JSON has them.

    Raises RowBroken for what is no text.
    """
    if value is None or value != value:
        return ""
    if isinstance(value, (bool, int, float)):
        return json.dumps(value)
    if not isinstance(value, str):
        raise RowBroken(f"{column} is {type(value).__name__} and not text")
    if not value.isascii() and not _can_be_written(value):
        raise RowBroken(f"{column} has half of a surrogate pair, which is no character")
    return value


def is_conversation(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, Mapping) for each in value)


def messages(value: object, column: str) -> list[Message]:
    """A conversation with OpenAI's keys, whichever of both ways it is written in. Raises RowBroken."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise RowBroken(f"{column} is {type(value).__name__} and not a list of messages")
    return [_message(each, number, column) for number, each in enumerate(value, 1)]


def _message(value: object, number: int, column: str) -> Message:
    where = f"message {number} of {column}"
    if not isinstance(value, Mapping):
        raise RowBroken(f"{where} is {type(value).__name__} and not an object with role and content")
    role_key, content_key = _SHAREGPT if _SHAREGPT[0] in value and _OURS[0] not in value else _OURS
    role = value.get(role_key)
    if role_key not in value or content_key not in value:
        raise RowBroken(f"{where} has no {role_key if role_key not in value else content_key}")
    if not isinstance(role, str) or role.lower() not in _ROLES:
        raise RowBroken(f"{where} is from {role!r}, and not from system, user, assistant or tool")
    if value.get("tool_calls"):
        raise RowBroken(f"{where} calls tools, which is not trained on: write the call into its content")
    return {"role": _ROLES[role.lower()], "content": _content(value[content_key], where)}


def _content(value: object, where: str) -> str:
    """Text, or OpenAI's list of parts as long as they are text."""
    if not isinstance(value, list):
        return text(value, f"the content of {where}")
    parts: list[str] = []
    for part in value:
        if not isinstance(part, Mapping) or part.get("type") != "text":
            raise RowBroken(f"the content of {where} has a part that is no text")
        parts.append(text(part.get("text"), f"the content of {where}"))
    return "".join(parts)


def _can_be_written(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
