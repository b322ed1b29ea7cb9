"""GET /health, /ready, /metrics and /version."""

from __future__ import annotations

from fastapi import APIRouter, Request
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.responses import Response

from serving.api.routing import json_response
from serving.api.status.handler import Status
from serving.api.status.protocol import Health, NotReady, Ready, Version

_RETRY_AFTER = {"Retry-After": "5"}


def status_router(status: Status, registry: CollectorRegistry) -> APIRouter:
    router = APIRouter(tags=["Service"])

    @router.get("/health", response_model=Health)
    async def health() -> Response:
        """The process lives. Whether it answers requests is /ready's to say."""
        return json_response(Health())

    @router.get("/ready", response_model=Ready, responses={503: {"model": NotReady}})
    async def ready() -> Response:
        """Whether requests are answered now, and if not, why."""
        readiness = status.readiness()
        if isinstance(readiness, Ready):
            return json_response(readiness)
        return Response(readiness.model_dump_json(), 503, _RETRY_AFTER, media_type="application/json")

    @router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def metrics(request: Request) -> Response:
        """This replica's metrics for Prometheus."""
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"Content-Type": content_type})

    @router.get("/version", response_model=Version)
    async def version() -> Response:
        """What runs here."""
        return json_response(status.version())

    return router
