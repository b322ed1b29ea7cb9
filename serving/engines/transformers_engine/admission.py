"""From waiting requests to running sequences, and what each of them holds while it runs."""

from __future__ import annotations

import random
from collections.abc import Callable

from llguidance import LLMatcher

from serving.engines.protocol import AdapterUse, GenerationRequest, RequestFailed
from serving.engines.transformers_engine.adapters import AdapterStore
from serving.engines.transformers_engine.constraints import MOST_KEPT, Constraint, Constraints
from serving.engines.transformers_engine.drafts import LONGEST, lookup_for
from serving.engines.transformers_engine.grammar_queue import GrammarQueue
from serving.engines.transformers_engine.kv_cache import KvCache
from serving.engines.transformers_engine.schedule import Sequence
from serving.engines.transformers_engine.slots import Contents, SlotPool
from serving.engines.transformers_engine.token_history import history_of
from serving.engines.waiting import WaitingRequests


class Admission:
    """A sequence that runs has a slot of the cache, one of the adapters if it uses any, and its place in a grammar."""

    def __init__(
        self,
        cache: KvCache,
        adapters: AdapterStore,
        constraints: Constraints | None,
        *,
        vocabulary: int,
        when_compiled: Callable[[], None] = lambda: None,
    ) -> None:
        """constraints: None if no request may have a grammar. when_compiled: called from another thread whenever a
        grammar has been, so that `admit` may have somebody to admit."""
        self.running: dict[str, Sequence] = {}
        self.reused_tokens = 0
        """Prompt tokens, since the start, that the cache still held."""
        self._cache = cache
        self._adapters = adapters
        self._constraints = constraints
        self._grammars = GrammarQueue(constraints, when_compiled) if constraints is not None else None
        self._compiled: dict[str, LLMatcher] = {}
        """Grammars of requests that wait for a slot, by the request's id."""
        self._vocabulary = vocabulary
        self._slots = SlotPool(cache.slots)
        self._waiting = WaitingRequests()

    @property
    def waiting(self) -> int:
        return len(self._waiting) + (len(self._grammars) if self._grammars is not None else 0)

    @property
    def has_work(self) -> bool:
        """Whether `admit` or a step may do something now; False also while all that there is waits for its grammar."""
        return bool(self.running or self._waiting or (self._grammars is not None and self._grammars.has_news))

    def submit(self, request: GenerationRequest) -> None:
        """Queue a request. Raises RequestFailed for one that no step could answer."""
        self._require_answerable(request)
        if request.adapter is not None:
            self._adapters.enter(request.adapter.id)
        if request.grammar is None or self._grammars is None:
            self._waiting.add(request)
        else:
            self._grammars.add(request)

    def admit(self) -> dict[str, str]:
        """Let run what there is room for; why others cannot, by request id."""
        failures: dict[str, str] = {}
        self._queue_compiled(failures)
        while self._waiting and len(self._slots):
            request = self._waiting.peek()
            try:
                adapter_slot = self._adapters.acquire(request.adapter.id) if request.adapter else None
            except RequestFailed as failure:
                failures[request.id] = str(failure)
                self._forget_waiting(self._waiting.next())
                continue
            if request.adapter and adapter_slot is None:
                break
            self.running[request.id] = self._sequence(self._waiting.next(), adapter_slot, self._constraint(request))
            self._queue_compiled(failures)
        return failures

    def cancel(self, request_id: str) -> None:
        """Forget a request, running or waiting. Unknown ids are finished ones."""
        if request_id in self.running:
            self.release(self.running[request_id])
        elif request := self._waiting.remove(request_id):
            self._forget_waiting(request)
        elif self._grammars is not None and (request := self._grammars.remove(request_id)):
            self._leave(request)

    def release(self, sequence: Sequence) -> None:
        """A sequence has ended; others may find what the cache holds of it."""
        self._free(sequence, _contents(sequence))

    def discard(self, sequence: Sequence) -> None:
        """A sequence has failed, and nobody shall find what it left: NaN would reach the slot's next owner."""
        self._cache.clear(sequence.slot, len(sequence.tokens) + LONGEST)
        self._free(sequence, None)

    def _require_answerable(self, request: GenerationRequest) -> None:
        prompt = request.prompt_token_ids
        if not prompt:
            raise RequestFailed("the prompt has no tokens")
        if len(prompt) >= self._cache.context:
            raise RequestFailed(
                f"the prompt has {len(prompt)} tokens; with a completion at most {self._cache.context} fit, so "
                "shorten it"
            )
        if request.max_tokens < 1:
            raise RequestFailed(f"max_tokens is {request.max_tokens}; ask for at least 1")
        if min(prompt) < 0 or max(prompt) >= self._vocabulary:
            raise RequestFailed(f"the prompt has a token id outside 0 to {self._vocabulary - 1}")
        if (bias := request.sampling.logit_bias) and (min(bias) < 0 or max(bias) >= self._vocabulary):
            raise RequestFailed(f"logit_bias has a token id outside 0 to {self._vocabulary - 1}")
        if request.grammar is not None and self._constraints is None:
            raise RequestFailed("this engine has no tokenizer, so it holds no completion to a grammar")

    def _queue_compiled(self, failures: dict[str, str]) -> None:
        """Let those wait for a slot whose grammars are there, as many as compiled grammars may be held."""
        while self._grammars is not None and len(self._compiled) < MOST_KEPT:
            if (compiled := self._grammars.next()) is None:
                return
            if compiled.matcher is None:
                failures[compiled.request.id] = compiled.failure
                self._leave(compiled.request)
            else:
                self._compiled[compiled.request.id] = compiled.matcher
                self._waiting.add(compiled.request)

    def _constraint(self, request: GenerationRequest) -> Constraint | None:
        matcher = self._compiled.pop(request.id, None)
        if matcher is None or self._constraints is None:
            return None
        return self._constraints.begin(matcher, request.stop_token_ids)

    def _sequence(
        self, request: GenerationRequest, adapter_slot: int | None, constraint: Constraint | None
    ) -> Sequence:
        strength = self._strength(request.adapter)
        # Keys computed in another cut of the prompt differ in the last bits, which in 16 bits is enough to make a seed
        # give other tokens the second time: a request with a seed shares nothing, under a key that nothing equals.
        key = _key(request, strength) if request.sampling.seed is None else object()
        wanted = Contents(key, request.prompt_token_ids)
        place = self._slots.take(wanted, [(other.slot, _contents(other)) for other in self.running.values()])
        if place.source is not None:
            self._cache.copy(place.source, place.slot, place.shared)
        self.reused_tokens += place.shared
        return Sequence(
            request,
            place.slot,
            list(request.prompt_token_ids),
            _numbers(request.sampling.seed),
            place.shared,
            reused=place.shared,
            history=history_of(request),
            lookup=lookup_for(request),
            constraint=constraint,
            adapter_slot=adapter_slot,
            adapter_strength=strength,
        )

    def _strength(self, use: AdapterUse | None) -> float:
        if use is None:
            return 0.0
        return self._adapters.strength(use.id) if use.strength is None else use.strength

    def _free(self, sequence: Sequence, contents: Contents | None) -> None:
        del self.running[sequence.request.id]
        self._slots.give_back(sequence.slot, contents)
        if sequence.adapter_slot is not None:
            self._adapters.release(sequence.adapter_slot)
        self._leave(sequence.request)

    def _forget_waiting(self, request: GenerationRequest) -> None:
        self._compiled.pop(request.id, None)
        self._leave(request)

    def _leave(self, request: GenerationRequest) -> None:
        if request.adapter is not None:
            self._adapters.leave(request.adapter.id)


def _contents(sequence: Sequence) -> Contents:
    """What the cache holds of a sequence."""
    key = _key(sequence.request, sequence.adapter_strength)
    return Contents(key, tuple(sequence.tokens[: sequence.cached]))


def _key(request: GenerationRequest, strength: float) -> tuple[str, float]:
    return (request.adapter.id if request.adapter else "", strength)


def _numbers(seed: int | None) -> random.Random:
    """Random numbers of one request; random.Random itself makes no difference between a seed and its negative."""
    return random.Random(None if seed is None else seed % 2**64)
