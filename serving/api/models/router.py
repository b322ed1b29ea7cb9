"""GET /v1/models and GET /v1/models/{id}."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from serving.api.errors import ERROR_RESPONSES
from serving.api.models.handler import Models
from serving.api.models.protocol import ModelCard, ModelList
from serving.api.routing import json_response


def models_router(models: Models) -> APIRouter:
    router = APIRouter(tags=["OpenAI"])

    @router.get("/v1/models", response_model=ModelList, responses=ERROR_RESPONSES)
    async def list_models() -> Response:
        """The models that requests may name."""
        return json_response(models.list())

    @router.get("/v1/models/{model:path}", response_model=ModelCard, responses=ERROR_RESPONSES)
    async def retrieve_model(model: str) -> Response:
        """One model; ids may contain slashes."""
        return json_response(models.resolve(model))

    return router
