"""The wire of /v1/usage. It is this service's own: OpenAI has usage by organisation and day, of all of its servers."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel


class KeyUsageLine(BaseModel):
    """What one key has used of one model."""

    key: str | None
    """Its name; null: requests without a key, where none is needed."""
    model: str
    requests: int
    """That the engine has taken."""
    prompt_tokens: int
    completion_tokens: int
    """Also those of answers that nobody waited for until their end."""
    total_tokens: int


class KeyUsageList(BaseModel):
    object: Literal["list"] = "list"
    since: int
    """Unix time in seconds from which this replica counts."""
    data: list[KeyUsageLine]
