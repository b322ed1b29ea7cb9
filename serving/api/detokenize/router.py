"""POST /detokenize."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from serving.api.detokenize.handler import Detokenize
from serving.api.detokenize.protocol import Detokenized, DetokenizeRequest
from serving.api.errors import ERROR_RESPONSES
from serving.api.routing import json_response


def detokenize_router(handler: Detokenize) -> APIRouter:
    router = APIRouter(tags=["vLLM"])

    @router.post("/detokenize", response_model=Detokenized, responses=ERROR_RESPONSES)
    async def detokenize(body: DetokenizeRequest) -> Response:
        """The text of tokens."""
        return json_response(await handler.create(body))

    return router
