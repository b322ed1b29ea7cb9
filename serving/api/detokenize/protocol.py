"""The wire of /detokenize, as vLLM has it."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from serving.api.fields import ApiModel, TokenId


class DetokenizeRequest(ApiModel):
    model: str | None = None
    """None: the workspace's model."""
    tokens: Annotated[list[TokenId], Field(fail_fast=True)]


class Detokenized(BaseModel):
    prompt: str
    """The text of the tokens, special ones as they are written; bytes that are no text become U+FFFD."""
