"""What pydantic found wrong with a request, in the words of OpenAI's errors."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from serving.api.error_codes import ErrorCode

_MAX_PROBLEMS = 5


@dataclass(frozen=True)
class Problem:
    """One sentence, the parameter it is about, a stable code."""

    message: str
    param: str | None
    code: ErrorCode


def describe_validation(errors: Sequence[Mapping[str, Any]]) -> Problem:
    """The problems in one message; parameter and code are those of the first."""
    problems = [_describe(error) for error in errors[:_MAX_PROBLEMS]]
    messages = [problem.message for problem in problems]
    if (more := len(errors) - _MAX_PROBLEMS) > 0:
        messages.append(f"{more} more {'problem' if more == 1 else 'problems'}.")
    return Problem(" ".join(messages), problems[0].param, problems[0].code)


def _describe(error: Mapping[str, Any]) -> Problem:
    kind, found = str(error["type"]), error.get("input")
    param = _path(error["loc"])
    if kind == "json_invalid":
        reason, position = error["ctx"]["error"], error["loc"][-1]
        return Problem(f"The body is not valid JSON: {reason} at character {position}.", None, "invalid_json")
    if param is None:
        # For a name that is no Unicode, pydantic's finding is the name.
        message = error["msg"] if kind == "string_unicode" else _body_problem(found)
        return Problem(str(message), None, "invalid_body")
    if kind == "unsupported_parameter":
        return Problem(f"Unsupported parameter '{param}': {error['msg']}", param, "unsupported_parameter")
    if kind == "unsupported_value":
        return Problem(f"Unsupported value for '{param}': {error['msg']}", param, "unsupported_value")
    if kind == "extra_forbidden":
        return Problem(f"Unknown parameter: '{param}'.", param, "unknown_parameter")
    if kind == "missing":
        return Problem(f"Missing required parameter: '{param}'.", param, "missing_required_parameter")
    code = "invalid_type" if kind.endswith("_type") else "invalid_value"
    message = str(error["msg"]).removeprefix("Value error, ")
    return Problem(f"Invalid value for '{param}': {message}{_shown(found)}.", param, code)


def _body_problem(found: object) -> str:
    if isinstance(found, bytes):
        return "The body must be JSON, sent with the header 'Content-Type: application/json'."
    if found is None:
        return "The request needs a JSON body."
    return "The body must be a JSON object."


def _path(loc: Sequence[int | str]) -> str | None:
    """`messages[0].content` for ("body", "messages", 0, "content"); names of union branches are left out."""
    path = ""
    for part in loc[1:]:
        if isinstance(part, int):
            path += f"[{part}]"
        elif not part.startswith("<"):
            path += f".{part}" if path else part
    return path or None


def _shown(found: object) -> str:
    """A short value as it was written; a long one, or a whole object, says less than the path does."""
    if not isinstance(found, str | int | float | bool):
        return ""
    text = json.dumps(found)
    return f", found {text}" if len(text) <= 60 else ""
