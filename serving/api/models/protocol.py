"""The wire of /v1/models."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel


class ModelCard(BaseModel):
    """A model that requests may name."""

    id: str
    object: Literal["model"] = "model"
    created: int
    """Unix time in seconds at which this replica began to serve it."""
    owned_by: Literal["modelyard"] = "modelyard"
    root: str
    """Extension, as in vLLM: the preset that the model is made from, or the adapter's source."""
    parent: str | None = None
    """Extension, as in vLLM: of an adapter, the model that it is added to."""


class ModelList(BaseModel):
    object: Literal["list"] = "list"
    data: list[ModelCard]
