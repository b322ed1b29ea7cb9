"""The wire of /v1/embeddings; fields in the order of OpenAI's reference."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from serving.api.completions.protocol import Prompt
from serving.api.fields import ApiModel, NoEffect


class EmbeddingRequest(ApiModel):
    input: Prompt
    """One text, several texts, the tokens of one text, or the tokens of several."""
    model: str
    """The workspace's name."""
    dimensions: Annotated[int, Field(ge=1)] | None = None
    encoding_format: Literal["float", "base64"] | None = None
    user: Annotated[str | None, NoEffect] = None
