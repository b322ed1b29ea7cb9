"""Ids of calls."""

from __future__ import annotations

import secrets
import string

_ALPHABET = string.ascii_letters + string.digits


def openai_call_id() -> str:
    """As OpenAI writes them."""
    return "call_" + _characters(24)


def mistral_call_id() -> str:
    """Nine letters and digits; Mistral's chat templates refuse anything else."""
    return _characters(9)


def _characters(count: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(count))
