"""POST /tokenize."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from serving.api.errors import ERROR_RESPONSES
from serving.api.routing import json_response
from serving.api.tokenize.handler import Tokenize
from serving.api.tokenize.protocol import Tokenized, TokenizeRequest


def tokenize_router(handler: Tokenize) -> APIRouter:
    router = APIRouter(tags=["vLLM"])

    @router.post("/tokenize", response_model=Tokenized, responses=ERROR_RESPONSES)
    async def tokenize(body: TokenizeRequest) -> Response:
        """The tokens of a text or of a conversation."""
        return json_response(await handler.create(body))

    return router
