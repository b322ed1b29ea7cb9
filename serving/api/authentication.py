"""API keys over HTTP: who may come in, and what is left of a key's limits."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil

from starlette._utils import get_route_path  # what routes are matched by: two opinions of a path would be a hole
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.api.errors import to_api_error
from serving.callers.callers import Callers
from serving.callers.errors import CallRefused
from serving.callers.key_use import KeyUse

OPEN_PATHS = frozenset(
    {"/health", "/ready", "/metrics", "/version", "/smoke", "/docs", "/docs/oauth2-redirect", "/openapi.json"}
)
"""What needs no key, since it has nothing of what callers ask or are answered. Everything else does, also what does not
exist: a new endpoint is closed unless it is named here."""


class Authenticated:
    """Lets requests in, by the keys that are configured, before their bodies are read.

    Plain ASGI, and outside of the routes: a FastAPI dependency runs only when the body was read and parsed.
    """

    def __init__(self, app: ASGIApp, callers: Callers) -> None:
        self._app = app
        self._callers = callers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        key: KeyUse | None = None

        async def send_with_limits(message: Message) -> None:
            if key is not None and message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(dict(_limits(key)))
            await send(message)

        path = get_route_path(scope)
        try:
            if path not in OPEN_PATHS:
                key = self._callers.identify(_bearer(scope))
            # What only asks, such as for the list of models, is not one of the requests that are limited. Neither is
            # what ends one: whoever has as many as he may must be able to.
            limited = scope["method"] == "POST" and not path.endswith("/cancel")
            with self._callers.call(key, limited=limited):
                await self._app(scope, receive, send_with_limits)
        except CallRefused as refused:
            await to_api_error(refused).response()(scope, receive, send_with_limits)


def _bearer(scope: Scope) -> str | None:
    scheme, _, key = Headers(scope=scope).get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else None


def _limits(key: KeyUse) -> Iterator[tuple[str, str]]:
    """OpenAI's headers."""
    for name, allowance in (("requests", key.requests), ("tokens", key.tokens)):
        if allowance is not None:
            now = key.now()
            yield f"x-ratelimit-limit-{name}", str(allowance.per_minute)
            yield f"x-ratelimit-remaining-{name}", str(allowance.left(now))
            yield f"x-ratelimit-reset-{name}", duration(allowance.refill(now))


def duration(seconds: float) -> str:
    """As OpenAI writes it.

    >>> duration(0), duration(0.0201), duration(1), duration(150.5)
    ('0s', '21ms', '1s', '2m30.5s')
    """
    milliseconds = ceil(seconds * 1000)
    if 0 < milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes}m{rest / 1000:g}s" if minutes else f"{rest / 1000:g}s"
