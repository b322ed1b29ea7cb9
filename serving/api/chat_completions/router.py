"""POST /v1/chat/completions."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from serving.api.chat_completions.handler import ChatCompletions
from serving.api.chat_completions.protocol import ChatCompletion, ChatCompletionRequest
from serving.api.connection import while_connected
from serving.api.routing import json_response
from serving.api.sse import STREAMING_RESPONSES, sse


def chat_completions_router(handler: ChatCompletions) -> APIRouter:
    router = APIRouter(tags=["OpenAI"])

    @router.post("/v1/chat/completions", response_model=ChatCompletion, responses=STREAMING_RESPONSES)
    async def create_chat_completion(body: ChatCompletionRequest, request: Request) -> Response:
        """Answer a conversation; with `stream`, as server-sent events."""
        if body.stream:
            return await sse(request, handler.stream(body))
        return json_response(await while_connected(request.receive, handler.create(body)))

    return router
