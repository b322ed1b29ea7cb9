"""What the data step hands on to training and to evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Row = Mapping[str, Any]
"""One example as trl's SFTTrainer takes it:

{"messages": [{"role", "content"}...]}                        a conversation
{"prompt": [messages], "completion": [messages]}              a question and its answer, through the chat template
{"prompt": str, "completion": str}                            the same, for a model without chat template
{"text": str}                                                 plain text
"""
Kind = Literal["conversation", "completion", "text"]


@dataclass(frozen=True, kw_only=True)
class Data:
    """Rows of one kind, in the order in which they are trained on."""

    kind: Kind
    train: tuple[Row, ...]
    held_out: tuple[Row, ...]
    digests: Mapping[str, str]
    """`sha256:HEX` of each file that was read, by its name or URL without credentials."""
    report: Path
    """JSON with rows, tokens, truncated share, longest, duplicates, empty rows, and the columns with why."""
    summary: str
    """One sentence of the report for people."""
