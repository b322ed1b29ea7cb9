"""A client that goes away stops costing compute."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
import time

import httpx
import pytest

from tests.serving.api.service import MODEL, Service

CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}]}
BODIES = {
    "/v1/chat/completions": CHAT,
    "/v1/completions": {"model": MODEL, "prompt": ["Hello", "world"], "max_tokens": 400},
    "/v1/responses": {"model": MODEL, "input": "Hello"},
    "/chat": {"prompt": "Hello", "generate_kwargs": {"max_new_tokens": 400}},
}


@pytest.mark.parametrize("path", BODIES)
def test_leaving_before_a_whole_answer_cancels_its_requests(service: Service, path: str) -> None:
    service.engine.never_ends(service.tokens(" word")[0])
    with pytest.raises(httpx.ReadTimeout):
        service.http.post(path, json=BODIES[path], timeout=1.5)
    service.engine.wait_until_idle()
    assert service.engine.closed_early == len(service.engine.requests) > 0
    made = service.engine.steps_made
    time.sleep(0.1)
    assert service.engine.steps_made == made, "the engine goes on"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/v1/responses"])
def test_leaving_a_stream_cancels_its_requests(service: Service, path: str) -> None:
    service.engine.never_ends(service.tokens(" word")[0])
    with service.http.stream("POST", path, json={**BODIES[path], "stream": True}) as answer:
        lines = answer.iter_lines()
        assert next(lines).startswith(("data: ", "event: "))
        assert service.engine.running > 0
    service.engine.wait_until_idle()
    assert service.engine.closed_early == len(service.engine.requests)


def test_leaving_before_the_first_token_of_a_stream_cancels_the_request(service: Service) -> None:
    service.engine.never_ends(service.tokens(" word")[0], seconds_per_step=60)
    with pytest.raises(httpx.ReadTimeout):
        service.http.post("/v1/chat/completions", json={**CHAT, "stream": True}, timeout=1.5)
    service.engine.wait_until_idle()
    assert service.engine.closed_early == 1


def test_a_connection_that_is_reset_cancels_its_request(service: Service) -> None:
    service.engine.never_ends(service.tokens(" word")[0], seconds_per_step=0)
    host, port = service.origin.removeprefix("http://").split(":")
    request = httpx.Request("POST", f"{service.url}/v1/chat/completions", json={**CHAT, "stream": True})
    head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(f"POST {request.url.raw_path.decode()} HTTP/1.1\r\n{head}\r\n".encode() + request.content)
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    service.engine.wait_until_idle()
    assert service.engine.closed_early == 1


def test_leaving_in_the_middle_of_a_request_is_no_mistake_of_the_request(service: Service) -> None:
    host, port = service.origin.removeprefix("http://").split(":")
    head = "POST /smollm2/chat HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(head.encode() + b'{"prompt": ')
    deadline = time.monotonic() + 5
    while 'status="499"' not in (metrics := service.http.get("/metrics").text) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert 'modelyard_requests_total{endpoint="/chat",status="499"} 1.0' in metrics


async def test_others_go_on_when_one_client_leaves(service: Service) -> None:
    service.engine.never_ends(service.tokens(" word")[0], seconds_per_step=0.002)
    async with service.async_openai() as client:

        async def ask(tokens: int) -> str:
            chunks = await client.completions.create(model=MODEL, prompt="Hello", max_tokens=400, stream=True)
            text = ""
            async with chunks:
                async for chunk in chunks:
                    text += chunk.choices[0].text
                    if text.count("word") >= tokens:
                        break
            return text

        texts = await asyncio.gather(*(ask(tokens) for tokens in (1, 60, 2, 80, 3)))
    assert [text.count("word") for text in texts] == [1, 60, 2, 80, 3]
    service.engine.wait_until_idle()
    assert service.engine.closed_early == 5


async def test_whenever_clients_leave_no_request_stays(service: Service) -> None:
    service.engine.never_ends(service.tokens(" word")[0], seconds_per_step=0.002)
    moments = random.Random(20)
    clients = [_leave(service, moments.choice([*BODIES]), moments.random(), moments.random()) for _ in range(200)]
    for start in range(0, len(clients), 20):
        await asyncio.gather(*clients[start : start + 20])
    await asyncio.to_thread(service.engine.wait_until_idle)
    assert len(service.engine.requests) > 50, "few requests came as far as the engine"
    assert service.engine.closed_early == len(service.engine.requests)
    service.says("Hi")
    assert service.openai.responses.create(model=MODEL, input="Hello").output_text == "Hi"


async def _leave(service: Service, path: str, moment: float, way: float) -> None:
    """Send a request, or a part of it, and go: at a moment between its first byte and a while after the answer's."""
    body = {**BODIES[path], **({"stream": True} if way < 0.5 and path != "/chat" else {})}
    content = json.dumps(body).encode()
    url = httpx.URL(service.url + path)
    head = f"POST {url.path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {len(content)}"
    request = head.encode() + b"\r\n\r\n" + content
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(request[: int(len(request) * moment * 4)])
    await writer.drain()
    if moment > 0.5:
        # Bytes of a stream, until half a second is over; of a whole answer there are none.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(reader.readexactly(int(moment * 2000)), timeout=moment - 0.5)
    # One in two closes with a reset, as a process does that is killed.
    writer.transport.abort() if way % 0.5 < 0.25 else writer.close()
