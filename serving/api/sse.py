"""Server-sent events, as OpenAI's clients read them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from fastapi import Request
from pydantic import BaseModel
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from serving.api.connection import ClientDisconnected, while_connected
from serving.api.errors import ERROR_RESPONSES, to_api_error

STREAMING_RESPONSES: dict[int | str, dict[str, Any]] = {
    **ERROR_RESPONSES,
    200: {"description": "The answer; with `stream`, its chunks as events.", "content": {"text/event-stream": {}}},
}
"""For the `responses` of routes that may stream."""


class NamedEvent(BaseModel, frozen=True):
    """A chunk that is sent under its type, whole, in a stream that ends with its last: as /v1/responses has them."""

    type: str


async def sse(request: Request, chunks: AsyncGenerator[BaseModel]) -> Response:
    """A response that streams `chunks`, which are closed when the client goes away.

    The first chunk is awaited here: until then a failure has a status of its own. A later one becomes an event that
    clients raise as an error. The fields of a chunk that were not set are left out, but of a NamedEvent.
    """
    try:
        first = await while_connected(request.receive, _first(chunks))
    except BaseException:
        await chunks.aclose()
        raise
    return EventStream(first, chunks)


async def _first(chunks: AsyncGenerator[BaseModel]) -> BaseModel:
    return await anext(chunks)


class EventStream(Response):
    """Starlette's StreamingResponse leaves an unfinished generator to the garbage collector; this one closes it."""

    media_type = "text/event-stream"

    def __init__(self, first: BaseModel, chunks: AsyncGenerator[BaseModel]) -> None:
        # A proxy that buffers, as nginx does by default, would turn the stream into one late answer.
        super().__init__(headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._first = first
        self._chunks = chunks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await while_connected(receive, self._send_all(send))
        except (ClientDisconnected, OSError):
            return
        finally:
            await self._chunks.aclose()

    async def _send_all(self, send: Send) -> None:
        async def send_text(text: str) -> None:
            await send({"type": "http.response.body", "body": text.encode(), "more_body": True})

        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send_text(_framed(self._first))
        while True:
            try:
                chunk = await anext(self._chunks)
            except StopAsyncIteration:
                break
            except Exception as error:  # noqa: BLE001 - the status is sent: only an event can tell the client now
                await send_text(f"data: {to_api_error(error).body()}\n\n")
                break
            await send_text(_framed(chunk))
        if not isinstance(self._first, NamedEvent):
            await send_text("data: [DONE]\n\n")
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _framed(chunk: BaseModel) -> str:
    if isinstance(chunk, NamedEvent):
        return f"event: {chunk.type}\ndata: {chunk.model_dump_json()}\n\n"
    return f"data: {chunk.model_dump_json(exclude_unset=True)}\n\n"
