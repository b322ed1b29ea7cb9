"""POST /v1/completions."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from serving.api.completions.handler import Completions
from serving.api.completions.protocol import Completion, CompletionRequest
from serving.api.connection import while_connected
from serving.api.routing import json_response
from serving.api.sse import STREAMING_RESPONSES, sse


def completions_router(handler: Completions) -> APIRouter:
    router = APIRouter(tags=["OpenAI"])

    @router.post("/v1/completions", response_model=Completion, responses=STREAMING_RESPONSES)
    async def create_completion(body: CompletionRequest, request: Request) -> Response:
        """Continue one or several texts; with `stream`, as server-sent events."""
        if body.stream:
            return await sse(request, handler.stream(body))
        return json_response(await while_connected(request.receive, handler.create(body)))

    return router
