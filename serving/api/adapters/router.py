"""POST /v1/load_lora_adapter and POST /v1/unload_lora_adapter."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request
from fastapi.responses import PlainTextResponse
from starlette.responses import Response

from serving.api.adapters.handler import AdapterAdmin
from serving.api.adapters.protocol import LoadAdapterRequest, UnloadAdapterRequest
from serving.api.connection import while_connected
from serving.api.errors import ERROR_RESPONSES


def adapters_router(admin: AdapterAdmin) -> APIRouter:
    # Before the body is looked at, whose problems would tell a stranger that a key would do.
    async def authorized() -> None:
        admin.authorize()

    router = APIRouter(tags=["vLLM"], dependencies=[Depends(authorized)])

    @router.post("/v1/load_lora_adapter", response_class=PlainTextResponse, responses=ERROR_RESPONSES)
    async def load_lora_adapter(body: LoadAdapterRequest, request: Request) -> Response:
        """Load an adapter beside those of the stack's config; answers when it is ready. It is gone with the replica."""
        return PlainTextResponse(await while_connected(request.receive, admin.load(body)))

    @router.post("/v1/unload_lora_adapter", response_class=PlainTextResponse, responses=ERROR_RESPONSES)
    async def unload_lora_adapter(body: UnloadAdapterRequest) -> Response:
        """Unload an adapter that was loaded so; requests that run are finished."""
        return PlainTextResponse(admin.unload(body))

    return router
