"""What the API needs from an engine. Engines implement `Engine`; the API and the replica know nothing else of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

FinishReason = Literal["stop", "length"]
EngineStatus = Literal["starting", "ready", "restarting", "draining", "stopped", "failed"]

MAX_LOGPROBS = 20
"""Likeliest tokens that a request may ask for beside each of its own: OpenAI's limit of top_logprobs, and vLLM's
default."""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How the next token is chosen. temperature 0 is greedy; top_k 0 is all tokens; seed None is random."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    """Tokens less likely than this share of the likeliest are left out."""
    repetition_penalty: float = 1.0
    """Above 1 makes tokens of the prompt and of the completion less likely: positive logits are divided by it,
    negative ones multiplied, as in transformers."""
    presence_penalty: float = 0.0
    """Taken once from the logit of each token of the completion, as OpenAI has it."""
    frequency_penalty: float = 0.0
    """Taken from a token's logit as often as the completion has it."""
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    """Added to the logits of these tokens; -100 bans a token and 100 leaves no other."""
    seed: int | None = None


@dataclass(frozen=True, kw_only=True)
class AdapterUse:
    """Which adapter a request is answered with."""

    id: str
    """Of an adapter that `Engine.load_adapter` has taken."""
    strength: float | None = None
    """From 0 to 1, how much of it is added to the base model; None: the adapter's own."""


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """One version of a LoRA adapter, as files."""

    id: str
    """Another content is another id: what a running request uses is never replaced under it."""
    path: Path
    """A directory with peft's adapter_config.json and adapter_model.safetensors."""
    strength: float = 1.0
    """From 0 to 1; for requests that do not say."""


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
    min_tokens: int = 0
    """Completion tokens before which no stop token is chosen."""
    adapter: AdapterUse | None = None
    """None: the base model."""
    logprobs: int | None = None
    """How many of the likeliest tokens are told beside each token's own log probability; None: neither is."""
    grammar: str | None = None
    """What the completion is held to, in llguidance's JSON; the stop tokens are allowed where it may end."""
    client: str = ""
    """Whom the request is for. Clients take turns where requests have to wait."""


@dataclass(frozen=True, slots=True)
class TokenLogprobs:
    """Natural logarithms of probabilities under the model itself: temperature, penalties and limits left out."""

    logprob: float
    """Of the token that was chosen."""
    top: tuple[tuple[int, float], ...] = ()
    """The likeliest tokens and theirs, falling."""


@dataclass(frozen=True, slots=True)
class TokenChunk:
    """New tokens of one sequence; the last chunk carries the finish reason and may have no tokens."""

    token_ids: tuple[int, ...]
    finish_reason: FinishReason | None = None
    logprobs: tuple[TokenLogprobs, ...] = ()
    """One for each of the tokens if the request asked for them, else none."""
    reused_prompt_tokens: int = 0
    """Of the prompt, those that the cache still had; told in the request's first chunk."""


@dataclass(frozen=True, kw_only=True)
class EngineStats:
    """What the engine is doing now, and since its process started."""

    running: int = 0
    waiting: int = 0
    prompt_tokens: int = 0
    """Of prompts, those that were computed."""
    reused_prompt_tokens: int = 0
    """Of prompts, those whose keys and values the cache still had from another sequence."""
    generated_tokens: int = 0
    draft_tokens: int = 0
    """Tokens that were guessed and computed to see whether they are right."""
    accepted_draft_tokens: int = 0
    """Those that were right, so that no step of their own was needed; they are generated tokens too."""
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


class AdapterRefused(Exception):
    """An adapter that this model cannot be served with. `reason` is CamelCase, `message` a sentence."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        self.message = message
        super().__init__(f"{reason}: {message}")


AdapterLost = Callable[[str, AdapterRefused], None]
"""Told the id of an adapter that was loaded and is no more, and why."""


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

    async def load_adapter(self, adapter: Adapter) -> None:
        """Check an adapter and have it ready for requests; others go on meanwhile. It stays over restarts.

        Raises AdapterRefused, or EngineUnavailable. An id that is loaded already is not loaded again.
        """
        ...

    def when_adapter_is_lost(self, tell: AdapterLost) -> None:
        """Have `tell` called, in the event loop, for each adapter that does not stay: its files are gone, or no longer
        what they were, when they are read again. It may then be loaded again."""
        ...

    async def unload_adapter(self, adapter_id: str) -> None:
        """Forget an adapter once the requests that use it have ended; new ones with it fail. Unknown ids are gone."""
        ...

    def health(self) -> EngineHealth: ...

    def stats(self) -> EngineStats: ...

    def set_max_waiting(self, requests: int) -> None:
        """How many requests may wait before EngineOverloaded."""
        ...

    def capacity(self) -> int:
        """Requests at the same time, those that wait included, before EngineOverloaded."""
        ...

    async def drain(self, timeout_seconds: float) -> None:
        """Take no new requests; return when those in flight are done or the time is up."""
        ...

    async def stop(self) -> None:
        """End the engine and its processes; requests in flight fail with EngineUnavailable."""
        ...
