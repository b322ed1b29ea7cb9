"""POST /v1/responses, and GET, DELETE and POST …/cancel of one."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response as HttpResponse

from serving.api.connection import while_connected
from serving.api.errors import ERROR_RESPONSES
from serving.api.responses.handler import Responses
from serving.api.responses.protocol import ResponseRequest, RetrieveQuery
from serving.api.responses.resource import DeletedResponse, Response
from serving.api.routing import json_response
from serving.api.sse import STREAMING_RESPONSES, sse

_OF_ONE: dict[str, Any] = {"response_model": Response, "responses": ERROR_RESPONSES}


def responses_router(handler: Responses) -> APIRouter:
    router = APIRouter(tags=["OpenAI"])

    @router.post("/v1/responses", response_model=Response, responses=STREAMING_RESPONSES)
    async def create_response(body: ResponseRequest, request: Request) -> HttpResponse:
        """Answer a conversation; with `stream`, as server-sent events, with `background` later."""
        if body.stream:
            return await sse(request, handler.stream(body))
        work = handler.start(body) if body.background else handler.create(body)
        return json_response(await while_connected(request.receive, work))

    @router.get("/v1/responses/{response_id}", **_OF_ONE)
    async def retrieve_response(response_id: str, query: Annotated[RetrieveQuery, Query()]) -> HttpResponse:
        """A stored answer, or one that is made in the background."""
        return json_response(handler.retrieve(response_id))

    @router.post("/v1/responses/{response_id}/cancel", **_OF_ONE)
    async def cancel_response(response_id: str) -> HttpResponse:
        """End an answer that is made in the background."""
        return json_response(await handler.cancel(response_id))

    @router.post("/v1/responses/compact", include_in_schema=False)
    @router.post("/v1/responses/input_tokens", include_in_schema=False)
    async def unknown() -> HttpResponse:
        """OpenAI's, unknown here. Without this they would be ids of responses, on which POST alone is wrong."""
        raise HTTPException(404)

    @router.delete("/v1/responses/{response_id}", response_model=DeletedResponse, responses=ERROR_RESPONSES)
    async def delete_response(response_id: str) -> HttpResponse:
        """Forget a stored answer."""
        return json_response(await handler.delete(response_id))

    return router
