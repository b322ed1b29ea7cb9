"""The wire of /smoke."""

from __future__ import annotations

from pydantic import BaseModel

from serving.api.usage import Usage


class SmokeAnswer(BaseModel):
    """The model has answered."""

    model: str
    text: str
    usage: Usage
    first_token_seconds: float
    """From the request to the first text, as the replica sees it."""
    seconds: float
    """From the request to the last token."""
