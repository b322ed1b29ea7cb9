"""An engine in memory that says what a test tells it to, and counts what the API asks of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import replace

from serving.engines.protocol import (
    Adapter,
    AdapterLost,
    AdapterRefused,
    EngineHealth,
    EngineStats,
    FinishReason,
    GenerationRequest,
    TokenChunk,
    TokenLogprobs,
)

Step = TokenChunk | Exception
"""What the engine does next: send tokens, or fail."""


LOGPROB = -0.25
"""Of every token that the engine makes."""


def logprobs_of(token_id: int, count: int) -> TokenLogprobs:
    """What a request for `count` of the likeliest tokens is told beside a token: itself, and the ids after it."""
    return TokenLogprobs(LOGPROB, tuple((token_id + place, LOGPROB - place) for place in range(count)))


class ScriptedEngine:
    """Implements `serving.engines.protocol.Engine`."""

    def __init__(self) -> None:
        self.script: Callable[[GenerationRequest], Iterable[Step]] = lambda _: [TokenChunk((), "stop")]
        self.seconds_per_step = 0.0
        self.requests: list[GenerationRequest] = []
        self.running = 0
        self.closed_early = 0
        """Requests whose iterator was closed before its last chunk."""
        self.steps_made = 0
        self.max_waiting = 256
        self.adapters: dict[str, Adapter] = {}
        self.refuses_adapters: AdapterRefused | None = None
        self.before_load: Callable[[], object] = lambda: None
        """Waited for in a thread before an adapter is taken."""
        self.lose: AdapterLost = lambda _id, _why: None
        self.state = EngineHealth(status="ready", phases={"process": 0.5, "load": 1.5, "warmup": 0.25}, pid=4321)

    def says(self, *chunks: Sequence[int], finish_reason: FinishReason = "stop", then: Exception | None = None) -> None:
        """Answer every request with these tokens, a chunk at a time, and then end or fail."""
        steps: list[Step] = [TokenChunk(tuple(chunk)) for chunk in chunks]
        steps.append(then if then is not None else TokenChunk((), finish_reason))
        self.script = lambda _: steps

    def never_ends(self, token_id: int, seconds_per_step: float = 0.01) -> None:
        """Answer every request with the same token again and again."""
        self.seconds_per_step = seconds_per_step
        self.script = lambda _: [TokenChunk((token_id,))] * 100_000

    def wait_until_idle(self, seconds: float = 5.0) -> None:
        """Wait until no request runs; an AssertionError says that one still does."""
        deadline = time.monotonic() + seconds
        while self.running:
            assert time.monotonic() < deadline, f"{self.running} requests still cost compute"
            time.sleep(0.01)

    async def generate(self, request: GenerationRequest) -> AsyncIterator[TokenChunk]:
        self.requests.append(request)
        self.running += 1
        ended = False
        try:
            for step in self.script(request):
                await asyncio.sleep(self.seconds_per_step)
                self.steps_made += 1
                if isinstance(step, Exception):
                    ended = True
                    raise step
                ended = step.finish_reason is not None
                if request.logprobs is not None and not step.logprobs:
                    told = tuple(logprobs_of(token_id, request.logprobs) for token_id in step.token_ids)
                    step = replace(step, logprobs=told)
                yield step
        finally:
            self.running -= 1
            self.closed_early += not ended

    async def start(self) -> None: ...

    async def load_adapter(self, adapter: Adapter) -> None:
        await asyncio.to_thread(self.before_load)
        if self.refuses_adapters is not None:
            raise self.refuses_adapters
        self.adapters[adapter.id] = adapter

    def when_adapter_is_lost(self, tell: AdapterLost) -> None:
        self.lose = tell

    async def unload_adapter(self, adapter_id: str) -> None:
        self.adapters.pop(adapter_id, None)

    def health(self) -> EngineHealth:
        return self.state

    def stats(self) -> EngineStats:
        return EngineStats(
            running=self.running,
            waiting=3,
            prompt_tokens=30,
            reused_prompt_tokens=10,
            draft_tokens=8,
            accepted_draft_tokens=6,
            kv_cache_bytes=1024,
            kv_cache_capacity_bytes=4096,
            restarts=2,
        )

    def set_max_waiting(self, requests: int) -> None:
        self.max_waiting = requests

    def capacity(self) -> int:
        return 4 + self.max_waiting

    async def drain(self, timeout_seconds: float) -> None: ...

    async def stop(self) -> None: ...
