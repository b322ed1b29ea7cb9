"""One request over HTTP, and whom it is answered for, wherever in the service that is asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from serving.callers.errors import AdminKeyRequired, ModelNotAllowed
from serving.callers.key_use import KeyUse
from serving.callers.usage import UsageLedger
from serving.engines.protocol import EngineUnavailable, RequestFailed


class Call:
    """What a request may do, and what it uses."""

    def __init__(
        self,
        key: KeyUse | None = None,
        *,
        workspace: str = "",
        ledger: UsageLedger | None = None,
        deadline: float | None = None,
        timeout_seconds: float | None = None,
    ) -> None:
        self.key = key
        """None where no keys are configured, or the endpoint needs none."""
        self.deadline = deadline
        """When it is ended, by the event loop's clock; None: never."""
        self.timeout_seconds = timeout_seconds
        self._workspace = workspace
        self._ledger = ledger or UsageLedger()
        self._models: set[str] = set()

    @property
    def client(self) -> str:
        """As the engine tells callers apart: one for each key, one for all who have none."""
        return self.key.name if self.key else ""

    def may_use(self, model: str) -> bool:
        return self.key is None or self.key.may_use(model, self._workspace)

    def require_model(self, model: str) -> None:
        """Raise ModelNotAllowed unless the caller may use it."""
        if self.key is not None and not self.may_use(model):
            raise ModelNotAllowed(
                f"The API key '{self.key.name}' may not use the model '{model}'; it is for: "
                f"{', '.join(self.key.settings.models)}."
            )

    def require_admin(self) -> None:
        """For what changes the service for others. Raises AdminKeyRequired; where there are no keys all may do it."""
        if self.key is not None and not self.key.settings.admin:
            raise AdminKeyRequired(
                f"The API key '{self.key.name}' may not do this: it takes a key with admin: true in modelyard:apiKeys."
            )

    @contextmanager
    def spending(self, model: str, prompt_tokens: int) -> Iterator[Spending]:
        """Around one generation. Takes the prompt's tokens, and gives them back if the engine refused the prompt.

        A caller who leaves before the first token pays for it: it may have been read already.

        Raises ModelNotAllowed and LimitReached.
        """
        self.require_model(model)
        if self.key is not None:
            self.key.take_prompt(prompt_tokens)
        spending = Spending(self, model, prompt_tokens)
        try:
            yield spending
        except (EngineUnavailable, RequestFailed):
            if self.key is not None and not spending.admitted:
                self.key.charge_tokens(-prompt_tokens)
            raise
        except BaseException:
            spending.admit()
            raise

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Around work that goes on after the request's end: it counts as one at the same time."""
        if self.key is None:
            yield
            return
        self.key.hold()
        try:
            yield
        finally:
            self.key.end()

    def count(self, model: str, prompt_tokens: int) -> None:
        """A prompt that the engine has taken; several of one request are one request."""
        used = self._ledger.of(self.key.name if self.key else None, model)
        used.requests += model not in self._models
        used.prompt_tokens += prompt_tokens
        self._models.add(model)

    def count_completion(self, model: str, tokens: int) -> None:
        self._ledger.of(self.key.name if self.key else None, model).completion_tokens += tokens
        if self.key is not None:
            self.key.charge_tokens(tokens)


class Spending:
    """What one generation uses."""

    def __init__(self, call: Call, model: str, prompt_tokens: int) -> None:
        self.admitted = False
        """Whether the engine has taken the prompt."""
        self._call = call
        self._model = model
        self._prompt_tokens = prompt_tokens

    def admit(self) -> None:
        """The engine has taken the prompt; calling it again changes nothing."""
        if not self.admitted:
            self.admitted = True
            self._call.count(self._model, self._prompt_tokens)

    def make(self, tokens: int) -> None:
        """So many tokens were made."""
        self._call.count_completion(self._model, tokens)


_CALL: ContextVar[Call] = ContextVar("call", default=Call())  # noqa: B039 - never changed: it has no key and no ledger


def current_call() -> Call:
    """The request that is being answered. Tasks that are made for it inherit it."""
    return _CALL.get()


@contextmanager
def answering(call: Call) -> Iterator[None]:
    """Make `call` the current one."""
    token = _CALL.set(call)
    try:
        yield
    finally:
        _CALL.reset(token)
