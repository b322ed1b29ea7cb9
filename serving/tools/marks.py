"""Markers in Lark rules: special tokens where a tokenizer has them as such, text where it does not."""

from __future__ import annotations

import re
from collections.abc import Mapping

from serving.grammars import literal

_REST = "REST: /(?s:.*)/\n"


def mark(marker: str, marks: Mapping[str, int]) -> str:
    """The expression for a marker.

    >>> mark("<tool_call>", {}), mark("[TOOL_CALLS]", {"[TOOL_CALLS]": 9})
    ('"<tool_call>"', '<[9]>')
    """
    return f"<[{marks[marker]}]>" if marker in marks else literal(marker)


def lead(marker: str, marks: Mapping[str, int]) -> tuple[str, str]:
    """The expression for any text that ends with its first marker, and the rules that it needs, `REST` among them."""
    if marker in marks:
        return f"REST {mark(marker, marks)}", _REST
    return "lead", f"{text_until(marker, 'lead')}{_REST}"


def text_until(marker: str, rule: str) -> str:
    r"""A rule for any text that ends with its first `marker`, for one that is no special token.

    >>> text_until("</a>", "lead")
    'lead[lazy]: /(?s:.*)<\\/a>/\n'
    """
    return f"{rule}[lazy]: /(?s:.*){re.escape(marker).replace('/', chr(92) + '/')}/\n"
