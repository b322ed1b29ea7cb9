"""What routers have in common."""

from __future__ import annotations

from pydantic import BaseModel
from starlette.responses import Response


def json_response(body: BaseModel) -> Response:
    """The body as it is: FastAPI would validate once more what the handler has made."""
    return Response(body.model_dump_json(), media_type="application/json")
