"""Clients that stream chat completions. They share the cores with what they measure, so they do as little as they can:
while the answers come, bytes and times are kept; the events in them are read when all is over."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from benchmarks.errors import ServiceFailed
from benchmarks.service import Target

_TIMEOUT = httpx.Timeout(600)


@dataclass(frozen=True)
class Arrival:
    """Bytes off the network, and the seconds since their request was sent."""

    seconds: float
    data: bytes


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One streamed completion."""

    tokens: int
    """As the service counts them in `usage`."""
    finish_reason: str
    pieces: tuple[float, ...]
    """When each piece of text arrived, in seconds since the request was sent."""

    @property
    def first_token(self) -> float:
        return self.pieces[0]

    @property
    def gaps(self) -> list[float]:
        """Seconds between a piece of text and the next."""
        return [later - earlier for earlier, later in zip(self.pieces, self.pieces[1:], strict=False)]


@dataclass(frozen=True)
class Load:
    """What several clients got, and how long all of it took."""

    answers: tuple[Answer, ...]
    seconds: float


def read(arrivals: Sequence[Arrival]) -> Answer:
    """The answer in a stream of server-sent events. Raises ServiceFailed if it is not a whole one."""
    pieces = pieces_of(arrivals)
    tokens, finish_reason = 0, ""
    for _, event in _events(arrivals):
        if usage := event.get("usage"):
            tokens = usage["completion_tokens"]
        for choice in event.get("choices", ()):
            finish_reason = choice.get("finish_reason") or finish_reason
    if not (tokens and pieces and finish_reason):
        got = f"{len(pieces)} pieces of text, {tokens} tokens in usage, finish_reason {finish_reason or 'missing'}"
        raise ServiceFailed(f"a stream came without what a whole answer has: {got}")
    return Answer(tokens=tokens, finish_reason=finish_reason, pieces=tuple(pieces))


def pieces_of(arrivals: Sequence[Arrival]) -> list[float]:
    """When each piece of text arrived, of a stream that need not be whole. Raises ServiceFailed if it has an error."""
    return [
        seconds
        for seconds, event in _events(arrivals)
        for choice in event.get("choices", ())
        if choice.get("delta", {}).get("content")
    ]


def _events(arrivals: Sequence[Arrival]) -> Iterator[tuple[float, dict[str, Any]]]:
    """Each event, and when its last byte came."""
    rest = b""
    for arrival in arrivals:
        *lines, rest = (rest + arrival.data).split(b"\n")
        for line in lines:
            payload = line.removeprefix(b"data:").strip()
            if not line.startswith(b"data:") or payload == b"[DONE]":
                continue
            event = json.loads(payload)
            if "error" in event:
                raise ServiceFailed(f"the stream ended with an error: {event['error']}")
            yield arrival.seconds, event


def load(base_url: str, models: Sequence[Target], prompts: Sequence[Sequence[str]], max_tokens: int) -> Load:
    """As many clients as there are lists of prompts, each asking one prompt of its list after the other.

    base_url: that of the OpenAI API, with its /v1. models: the requests of all clients name them in turn.
    Raises ServiceFailed with the first request that fails.
    """
    try:
        streams, seconds = asyncio.run(_clients(base_url, models, prompts, max_tokens))
    except* (httpx.HTTPError, ServiceFailed) as group:
        first = group.exceptions[0]
        raise ServiceFailed(f"{type(first).__name__}: {first}") from first
    return Load(tuple(read(stream) for stream in streams), seconds)


async def _clients(
    base_url: str, models: Sequence[Target], prompts: Sequence[Sequence[str]], max_tokens: int
) -> tuple[list[list[Arrival]], float]:
    async with connection(len(prompts)) as client:
        begun = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            names = itertools.cycle(models)
            asked = [[(next(names), prompt) for prompt in own] for own in prompts]
            tasks = [group.create_task(_client(client, base_url, own, max_tokens)) for own in asked]
        seconds = time.perf_counter() - begun
    return [stream for task in tasks for stream in task.result()], seconds


async def _client(
    client: httpx.AsyncClient, base_url: str, asked: Sequence[tuple[Target, str]], max_tokens: int
) -> list[list[Arrival]]:
    return [await stream(client, base_url, model, prompt, max_tokens, []) for model, prompt in asked]


def connection(clients: int) -> httpx.AsyncClient:
    """For so many requests at once."""
    # Bytes as they come: a compressed stream would be held back until there is enough to compress.
    headers = {"Accept-Encoding": "identity"}
    # No connection is kept for the next request: llama-server closes kept ones without a word now and then, when many
    # clients were there just before.
    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=0)
    return httpx.AsyncClient(timeout=_TIMEOUT, limits=limits, headers=headers, trust_env=False)


async def stream(
    client: httpx.AsyncClient, base_url: str, model: Target, prompt: str, max_tokens: int, arrivals: list[Arrival]
) -> list[Arrival]:
    """One request's stream to its end; `arrivals`, which is returned, can be looked at meanwhile."""
    body = {
        **model,
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": max_tokens,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    begun = time.perf_counter()
    async with answering(client, base_url, body) as response:
        async for data in response.aiter_raw():
            arrivals.append(Arrival(time.perf_counter() - begun, data))
    return arrivals


@asynccontextmanager
async def answering(client: httpx.AsyncClient, base_url: str, body: Mapping[str, Any]) -> AsyncIterator[httpx.Response]:
    """The answer to a chat completion, still to be read; closed early it is given up. Raises ServiceFailed."""
    async with client.stream("POST", f"{base_url}/chat/completions", json=body) as response:
        if response.is_error:
            await response.aread()
            raise ServiceFailed(f"{base_url} answered {response.status_code}: {response.text[:300]}")
        yield response
