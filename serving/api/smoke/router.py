"""POST /smoke."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from serving.api.connection import while_connected
from serving.api.errors import ERROR_RESPONSES
from serving.api.routing import json_response
from serving.api.smoke.handler import Smoke
from serving.api.smoke.protocol import SmokeAnswer


def smoke_router(handler: Smoke) -> APIRouter:
    router = APIRouter(tags=["Service"])

    @router.post("/smoke", response_model=SmokeAnswer, responses=ERROR_RESPONSES)
    async def smoke(request: Request, measure: bool = False) -> Response:
        """Have the model go on with a sentence, to see that it answers; what `pulumi up` waits for. `measure` has it go
        on for longer, so that its speed can be told."""
        return json_response(await while_connected(request.receive, handler.ask(measure=measure)))

    return router
