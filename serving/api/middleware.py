"""What happens to every request: it is measured, its body is bounded, and it is answered whatever happens."""

from __future__ import annotations

import asyncio
import time

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.api.errors import CLIENT_CLOSED_REQUEST, to_api_error
from serving.metrics import ServiceMetrics


class Measured:
    """Records each request, streams until their end, and turns what nobody caught into an answer.

    Plain ASGI: Starlette's BaseHTTPMiddleware would keep a client's disconnection from the handlers.
    """

    def __init__(self, app: ASGIApp, metrics: ServiceMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.monotonic()
        status = 0

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        except asyncio.CancelledError:
            # How Ray Serve says that the client went away.
            status = status or CLIENT_CLOSED_REQUEST
            raise
        except Exception as error:
            if status:
                raise
            await to_api_error(error).response()(scope, receive, send_and_note)
        finally:
            endpoint = getattr(scope.get("route"), "path", "unmatched")
            self._metrics.observe_request(endpoint, status, time.monotonic() - started)


class BoundedBody:
    """Refuses a body that is too large to be a prompt before it fills the replica's memory, and one that never comes.

    Whoever sends half a body and waits would hold one of the replica's places for requests as long as he likes.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, seconds: float = 30, bytes_per_second: int = 1024) -> None:
        """The body must be there in `seconds`, and one more for every `bytes_per_second` that came."""
        self._app = app
        self._max_bytes = max_bytes
        self._seconds = seconds
        self._bytes_per_second = bytes_per_second

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        received = 0
        complete = False
        started = time.monotonic()

        async def receive_bounded() -> Message:
            nonlocal received, complete
            if complete:
                # What comes now is the client's leaving, for which there is all the time of the answer.
                return await receive()
            allowed = self._seconds + received / self._bytes_per_second
            try:
                async with asyncio.timeout(started + allowed - time.monotonic()):
                    message = await receive()
            except TimeoutError:
                # FastAPI passes on this class alone while it reads a body.
                raise HTTPException(
                    408,
                    f"The body is not complete after {allowed:.0f} seconds; {received} bytes of it came.",
                    headers={"Connection": "close"},
                ) from None
            received += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if received > self._max_bytes:
                raise HTTPException(413, f"The body is larger than {self._max_bytes} bytes, this service's limit.")
            return message

        await self._app(scope, receive_bounded, send)
