"""One API key, and how much of its limits is used."""

from __future__ import annotations

from collections.abc import Callable

from presets.serve_config import ApiKey
from serving.callers.allowance import Allowance
from serving.callers.errors import Limit, LimitReached

_CONCURRENT_RETRY_SECONDS = 1.0
"""Nobody knows when another of the key's requests ends."""


class KeyUse:
    """Takes from the key's limits. Outlives changes of them."""

    def __init__(self, settings: ApiKey, clock: Callable[[], float]) -> None:
        self.settings = settings
        self.requests: Allowance | None = None
        self.tokens: Allowance | None = None
        self.refused: dict[Limit, int] = {"requests": 0, "tokens": 0, "concurrent_requests": 0}
        """How often each limit was reached."""
        self._running = 0
        self._clock = clock
        self.configure(settings)

    @property
    def name(self) -> str:
        return self.settings.name

    def now(self) -> float:
        """By the clock of its limits."""
        return self._clock()

    def configure(self, settings: ApiKey) -> None:
        """Other limits for the same key; what was used stays used."""
        self.settings = settings
        self.requests = self._allowance(self.requests, settings.requests_per_minute)
        self.tokens = self._allowance(self.tokens, settings.tokens_per_minute)

    def may_use(self, model: str, workspace: str) -> bool:
        """A workspace stands for its model and its adapters, WORKSPACE:ADAPTER for the adapter alone."""
        allowed, adapter = self.settings.models, model.removeprefix(f"{workspace}:")
        return not allowed or workspace in allowed or f"{workspace}:{adapter}" in allowed

    def begin(self) -> None:
        """A request begins; `end` says when it is over. Raises LimitReached, and then it has not begun."""
        concurrent, now = self.settings.concurrent_requests, self._clock()
        if concurrent is not None and self._running >= concurrent:
            raise self._reached(
                "concurrent_requests", f"{self._running} of {concurrent} at once", _CONCURRENT_RETRY_SECONDS
            )
        if self.requests is not None:
            if wait := self.requests.wait(1, now):
                raise self._reached("requests", f"limit {self.requests.per_minute} a minute", wait)
            self.requests.charge(1, now)
        self._running += 1

    def hold(self) -> None:
        """Work of a request that has begun goes on after it, as one at the same time; `end` says when it is over."""
        self._running += 1

    def end(self) -> None:
        self._running -= 1

    def take_prompt(self, tokens: int) -> None:
        """Raises LimitReached, and then nothing was taken."""
        if self.tokens is None:
            return
        if wait := self.tokens.wait(tokens, self._clock()):
            limit = f"limit {self.tokens.per_minute} a minute, {tokens} for this prompt"
            raise self._reached("tokens", limit, wait)
        self.charge_tokens(tokens)

    def charge_tokens(self, tokens: int) -> None:
        """Below zero: give them back."""
        if self.tokens is not None:
            self.tokens.charge(tokens, self._clock())

    def _reached(self, limit: Limit, what: str, wait: float) -> LimitReached:
        self.refused[limit] += 1
        words = limit.replace("_", " ")
        message = f"Rate limit reached for API key '{self.name}' on {words}: {what}. Please try again in {wait:.3g}s."
        return LimitReached(limit, message, wait)

    def _allowance(self, before: Allowance | None, per_minute: int | None) -> Allowance | None:
        now = self._clock()
        if before is None or per_minute is None:
            return None if per_minute is None else Allowance(per_minute, now)
        before.resize(per_minute, now)
        return before
