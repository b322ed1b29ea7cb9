"""What the API needs from an engine. Engines implement `Engine`; the API and the replica know nothing else of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Literal, Protocol

FinishReason = Literal["stop", "length"]
EngineStatus = Literal["starting", "ready", "restarting", "draining", "stopped", "failed"]


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How the next token is chosen. temperature 0 is greedy; top_k 0 is all tokens; seed None is random."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int | None = None


@dataclass(frozen=True, kw_only=True)
class GenerationRequest:
    """One sequence to generate. `id` is unique among the requests in flight."""

    id: str
    prompt_token_ids: tuple[int, ...]
    max_tokens: int
    """Completion tokens at most; prompt and completion together never exceed the engine's max_context."""
    sampling: Sampling = Sampling()
    stop_token_ids: frozenset[int] = frozenset()
    """Generation ends with finish reason "stop" at any of these; the stop token itself is not returned."""


@dataclass(frozen=True, slots=True)
class TokenChunk:
    """New tokens of one sequence; the last chunk carries the finish reason and may have no tokens."""

    token_ids: tuple[int, ...]
    finish_reason: FinishReason | None = None


@dataclass(frozen=True, kw_only=True)
class EngineStats:
    """What the engine is doing now, and since its process started."""

    running: int = 0
    waiting: int = 0
    prompt_tokens: int = 0
    generated_tokens: int = 0
    kv_cache_bytes: int = 0
    """Keys and values of the sequences running now."""
    kv_cache_capacity_bytes: int = 0
    """What the cache may hold at most; memory is taken from the machine as it fills."""
    restarts: int = 0


@dataclass(frozen=True, kw_only=True)
class EngineHealth:
    """Where the engine stands; `reason` is CamelCase and empty when ready, `message` a sentence."""

    status: EngineStatus
    reason: str = ""
    message: str = ""
    phases: dict[str, float] = field(default_factory=dict)
    """Seconds that each phase of the last start took: "process", "load", "warmup"."""
    pid: int | None = None
    """The engine's own process, while there is one."""


class EngineUnavailable(Exception):
    """The engine cannot answer now, or died while answering; the caller may try again in `retry_after` seconds."""

    def __init__(self, message: str, retry_after: int = 5) -> None:
        self.retry_after = retry_after
        super().__init__(message)


class EngineOverloaded(EngineUnavailable):
    """More requests wait than are allowed."""


class RequestFailed(Exception):
    """This one request failed inside the engine; others go on."""


class Engine(Protocol):
    """Many requests at once over one base model."""

    async def start(self) -> None:
        """Load and warm up; returns when requests are answered. Raises serving.errors.StartupFailure."""
        ...

    def generate(self, request: GenerationRequest) -> AsyncIterator[TokenChunk]:
        """Tokens as they are made. Closing the iterator (aclose, or cancelling its consumer) cancels the request.

        Raises EngineUnavailable, EngineOverloaded or RequestFailed from the first or any later `__anext__`.
        """
        ...

    def health(self) -> EngineHealth: ...

    def stats(self) -> EngineStats: ...

    def set_max_waiting(self, requests: int) -> None:
        """How many requests may wait before EngineOverloaded."""
        ...

    async def drain(self, timeout_seconds: float) -> None:
        """Take no new requests; return when those in flight are done or the time is up."""
        ...

    async def stop(self) -> None:
        """End the engine and its processes; requests in flight fail with EngineUnavailable."""
        ...
