"""GET /v1/usage."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from serving.api.errors import ERROR_RESPONSES
from serving.api.key_usage.handler import KeyUsage
from serving.api.key_usage.protocol import KeyUsageList
from serving.api.routing import json_response


def key_usage_router(handler: KeyUsage) -> APIRouter:
    router = APIRouter(tags=["Service"])

    @router.get("/v1/usage", response_model=KeyUsageList, responses=ERROR_RESPONSES)
    async def usage() -> Response:
        """What the caller's key has used since this replica began, by model; with an admin key, what each has."""
        return json_response(handler.list())

    return router
