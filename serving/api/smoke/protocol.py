"""The wire of /smoke."""

from __future__ import annotations

from pydantic import BaseModel

from serving.api.usage import Usage


class SmokeAnswer(BaseModel):
    """The model has answered."""

    model: str
    text: str
    usage: Usage
