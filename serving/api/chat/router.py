"""POST /chat."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from serving.api.chat.handler import Chat
from serving.api.chat.protocol import ChatRequest, ChatResult
from serving.api.connection import while_connected
from serving.api.errors import ERROR_RESPONSES
from serving.api.routing import json_response


def chat_router(handler: Chat) -> APIRouter:
    router = APIRouter(tags=["KAITO"])

    @router.post("/chat", response_model=ChatResult, responses=ERROR_RESPONSES)
    async def chat(body: ChatRequest, request: Request) -> Response:
        """Continue a prompt, or answer a conversation, as KAITO's transformers runtime does."""
        return json_response(await while_connected(request.receive, handler.create(body)))

    return router
