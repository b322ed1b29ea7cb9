"""Embeddings, which the models of this service do not make."""

from __future__ import annotations

from typing import NoReturn

from serving.api.embeddings.protocol import EmbeddingRequest
from serving.api.errors import InvalidRequest
from serving.api.models.handler import Models


class Embeddings:
    """Says why there are none: every preset is a model that generates text."""

    def __init__(self, models: Models) -> None:
        self._models = models

    def create(self, request: EmbeddingRequest) -> NoReturn:
        """Raises ModelNotFound or InvalidRequest."""
        self._models.resolve(request.model)
        raise InvalidRequest(
            f"The model '{request.model}' generates text and is no embedding model; use /v1/chat/completions, "
            "/v1/responses or /v1/completions, or send this request to a service of an embedding model.",
            param="model",
            code="model_not_supported",
        )
