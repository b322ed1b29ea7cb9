"""Requests for tests, and an engine driven step by step until they are answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from serving.engines.protocol import Adapter, GenerationRequest, Sampling, TokenLogprobs
from serving.engines.transformers_engine.engine import TransformersEngine

GREEDY = Sampling(temperature=0)


def request(
    request_id: str,
    prompt_ids: tuple[int, ...],
    max_tokens: int = 16,
    sampling: Sampling = GREEDY,
    stop: frozenset[int] = frozenset(),
    min_tokens: int = 0,
    logprobs: int | None = None,
    client: str = "",
) -> GenerationRequest:
    return GenerationRequest(
        id=request_id,
        prompt_token_ids=prompt_ids,
        max_tokens=max_tokens,
        sampling=sampling,
        stop_token_ids=stop,
        min_tokens=min_tokens,
        logprobs=logprobs,
        client=client,
    )


def load(engine: TransformersEngine, adapter: Adapter) -> None:
    """Read an adapter and have the engine take it, as its process does. Raises AdapterRefused."""
    engine.load_adapter(adapter, engine.adapters.read(adapter))


@dataclass
class Answers:
    """By request id."""

    tokens: dict[str, tuple[int, ...]] = field(default_factory=dict)
    logprobs: dict[str, tuple[TokenLogprobs, ...]] = field(default_factory=dict)
    finish: dict[str, str] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


def run(
    engine: TransformersEngine,
    *requests: GenerationRequest,
    joining: Mapping[int, GenerationRequest] | None = None,
) -> Answers:
    """Submit `requests` at once and those of `joining` before the step of that number; step until all is done."""
    later = dict(joining or {})
    answers = Answers()
    for one in requests:
        engine.submit(one)
    step = 0
    while engine.has_work or later:
        if step in later:
            engine.submit(later.pop(step))
        outcome = engine.step()
        for request_id, chunk in outcome.chunks.items():
            answers.tokens[request_id] = answers.tokens.get(request_id, ()) + chunk.token_ids
            answers.logprobs[request_id] = answers.logprobs.get(request_id, ()) + chunk.logprobs
            if chunk.finish_reason is not None:
                answers.finish[request_id] = chunk.finish_reason
        answers.failures.update(outcome.failures)
        step += 1
    return answers
