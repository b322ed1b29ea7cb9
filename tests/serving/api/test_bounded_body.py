"""A body that does not come is not waited for without end, and an answer may take its time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest
from fastapi import FastAPI
from starlette.types import Message

from serving.api.errors import install_error_handlers
from serving.api.fields import ApiModel
from serving.api.middleware import BoundedBody

HEAD = {
    "type": "http",
    "method": "POST",
    "path": "/",
    "query_string": b"",
    "headers": [(b"content-type", b"application/json")],
}


class Body(ApiModel):
    text: str


def application(*, seconds_of_work: float = 0, bytes_per_second: int = 1000) -> BoundedBody:
    app = FastAPI()
    install_error_handlers(app)

    @app.post("/")
    async def work(body: Body) -> str:
        await asyncio.sleep(seconds_of_work)
        return body.text

    return BoundedBody(app, max_bytes=1000, seconds=0.05, bytes_per_second=bytes_per_second)


async def answer(app: BoundedBody, receive: Callable[[], Awaitable[Message]]) -> tuple[int, dict[str, str], str]:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await asyncio.wait_for(app(dict(HEAD), receive, send), timeout=5)
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], headers, b"".join(message.get("body", b"") for message in sent).decode()


@pytest.mark.parametrize("pause", [60, 0.01], ids=["nothing more", "a byte at a time"])
async def test_a_body_that_does_not_come_is_given_up(pause: float) -> None:
    parts = iter([b'{"text": "', *[b"x"] * 500])

    async def receive() -> Message:
        part = next(parts)
        await asyncio.sleep(0 if part.startswith(b"{") else pause)
        return {"type": "http.request", "body": part, "more_body": True}

    status, headers, text = await answer(application(), receive)
    error = json.loads(text)["error"]
    assert (status, error["code"], error["type"]) == (408, "body_timeout", "invalid_request_error")
    assert headers["connection"] == "close", "what comes of the body later would be taken for the next request"


async def test_an_answer_may_take_longer_than_a_body() -> None:
    messages = iter([{"type": "http.request", "body": b'{"text": "Hi"}', "more_body": False}])

    async def receive() -> Message:
        return next(messages)

    assert (await answer(application(seconds_of_work=0.2), receive))[::2] == (200, '"Hi"')


async def test_what_came_of_a_body_gives_it_more_time() -> None:
    parts = iter([b'{"text": "', *[b"x" * 100] * 4, b'"}'])

    async def receive() -> Message:
        part = next(parts)
        await asyncio.sleep(0 if part.startswith(b"{") else 0.02)
        return {"type": "http.request", "body": part, "more_body": part != b'"}'}

    assert (await answer(application(bytes_per_second=1), receive))[0] == 200
