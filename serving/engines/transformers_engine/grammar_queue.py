"""Requests whose grammars are compiled beside the engine's steps, which go on for the others meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

from llguidance import LLMatcher

from serving.engines.protocol import GenerationRequest, RequestFailed
from serving.engines.transformers_engine.constraints import Constraints
from serving.engines.waiting import WaitingRequests


@dataclass
class _Compilation:
    request: GenerationRequest
    matcher: Future[LLMatcher]
    left: bool = False
    """The request has been taken out. The grammar is kept all the same, since others may have it."""


class Compiled(NamedTuple):
    """What has become of a request's grammar: the grammar, or why there is none."""

    request: GenerationRequest
    matcher: LLMatcher | None
    failure: str = ""


class GrammarQueue:
    """One grammar at a time, clients in turn.

    llguidance gives Python's lock away while it compiles. The largest grammar takes seconds, and megabytes once it is
    compiled, so that whoever asks for the next says how many it has room for.
    """

    def __init__(self, constraints: Constraints, when_done: Callable[[], None]) -> None:
        """when_done: called from the compiling thread after each grammar."""
        self._constraints = constraints
        self._when_done = when_done
        self._waiting = WaitingRequests()
        self._compiling: _Compilation | None = None
        self._thread = ThreadPoolExecutor(1, "grammars")

    def __len__(self) -> int:
        running = self._compiling is not None and not self._compiling.left
        return len(self._waiting) + running

    @property
    def has_news(self) -> bool:
        """Whether `next` may have something, or something to begin with."""
        if self._compiling is None:
            return bool(len(self._waiting))
        return self._compiling.matcher.done()

    def add(self, request: GenerationRequest) -> None:
        """Queue a request that has a grammar."""
        self._waiting.add(request)

    def remove(self, request_id: str) -> GenerationRequest | None:
        """Take out a request; None for one that is not here."""
        compiling = self._compiling
        if compiling is not None and not compiling.left and compiling.request.id == request_id:
            compiling.left = True
            return compiling.request
        return self._waiting.remove(request_id)

    def next(self) -> Compiled | None:
        """A request whose grammar is there or has failed; None while there is none. Begins with the next grammar."""
        if (ended := self._collect()) is not None:
            return ended
        while self._compiling is None and len(self._waiting):
            request = self._waiting.next()
            assert request.grammar is not None
            if (known := self._constraints.find(request.grammar)) is not None:
                return Compiled(request, known)
            self._compiling = _Compilation(request, self._thread.submit(self._constraints.compile, request.grammar))
            self._compiling.matcher.add_done_callback(lambda _: self._when_done())
        return None

    def _collect(self) -> Compiled | None:
        compiling = self._compiling
        if compiling is None or not compiling.matcher.done():
            return None
        self._compiling = None
        request = compiling.request
        assert request.grammar is not None
        matcher, failure = None, ""
        try:
            matcher = compiling.matcher.result()
            self._constraints.keep(request.grammar, matcher)
        except RequestFailed as failed:
            failure = str(failed)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the failure of this one request
            failure = f"the grammar cannot be compiled: {type(error).__name__}: {error}"
        return None if compiling.left else Compiled(request, matcher, failure)
