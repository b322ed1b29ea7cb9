"""POST /v1/embeddings."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from serving.api.embeddings.handler import Embeddings
from serving.api.embeddings.protocol import EmbeddingRequest
from serving.api.errors import ERROR_RESPONSES


def embeddings_router(handler: Embeddings) -> APIRouter:
    router = APIRouter(tags=["OpenAI"])

    @router.post("/v1/embeddings", responses=ERROR_RESPONSES)
    async def create_embeddings(body: EmbeddingRequest) -> Response:
        """Refused: this model generates text and is no embedding model."""
        handler.create(body)

    return router
