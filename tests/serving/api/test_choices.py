"""Several choices of one answer, asked for with OpenAI's own client."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest

from serving.engines.protocol import EngineUnavailable, GenerationRequest, TokenChunk
from tests.serving.api.service import MODEL, Service

HELLO: Any = [{"role": "user", "content": "Hello"}]
ANSWERS = [" one", " two and a half", " three, the last"]


def in_turn(service: Service) -> None:
    """The engine answers each request with another text, in steps of one token."""
    service.engine.seconds_per_step = 0.001

    def script(_: GenerationRequest) -> list[TokenChunk]:
        text = ANSWERS[(len(service.engine.requests) - 1) % len(ANSWERS)]
        return [*(TokenChunk((token,)) for token in service.tokens(text)), TokenChunk((), "stop")]

    service.engine.script = script


def test_a_conversation_is_answered_several_times(service: Service) -> None:
    in_turn(service)
    answer = service.openai.chat.completions.create(model=MODEL, messages=HELLO, n=3)
    assert [choice.message.content for choice in answer.choices] == ANSWERS
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert {choice.finish_reason for choice in answer.choices} == {"stop"}
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == len(service.engine.requests[0].prompt_token_ids), "the prompt counts once"
    assert answer.usage.completion_tokens == sum(len(service.tokens(text)) for text in ANSWERS)


def test_a_stream_says_which_chunk_is_of_which_choice(service: Service) -> None:
    in_turn(service)
    texts: defaultdict[int, str] = defaultdict(str)
    roles: defaultdict[int, list[str | None]] = defaultdict(list)
    reasons: defaultdict[int, list[str | None]] = defaultdict(list)
    order: list[int] = []
    with service.openai.chat.completions.create(
        model=MODEL, messages=HELLO, n=3, stream=True, stream_options={"include_usage": True}
    ) as stream:
        *chunks, last = stream
    for chunk in chunks:
        (choice,) = chunk.choices
        order.append(choice.index)
        texts[choice.index] += choice.delta.content or ""
        roles[choice.index].append(choice.delta.role)
        reasons[choice.index].append(choice.finish_reason)
    assert [texts[index] for index in range(3)] == ANSWERS
    for index in range(3):
        assert roles[index] == ["assistant", *[None] * (len(roles[index]) - 1)]
        assert reasons[index] == [*[None] * (len(reasons[index]) - 1), "stop"]
    assert order != sorted(order), "the choices came one after another"
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.completion_tokens == sum(len(service.tokens(text)) for text in ANSWERS)


def test_the_choices_of_a_prompt_stand_together(service: Service) -> None:
    by_prompt = {"a": " of a", "b": " of b"}
    service.engine.script = lambda request: [
        TokenChunk(tuple(service.tokens(by_prompt[service.reference.decode(request.prompt_token_ids)])), "stop")
    ]
    answer = service.openai.completions.create(model=MODEL, prompt=["a", "b"], n=2, echo=True)
    assert [choice.text for choice in answer.choices] == ["a of a", "a of a", "b of b", "b of b"]
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == 2, "a prompt counts once, however often it is continued"
    assert answer.usage.completion_tokens == 8


def test_with_a_seed_the_choices_differ_from_each_other_but_not_from_time_to_time(service: Service) -> None:
    for _ in range(2):
        service.openai.chat.completions.create(model=MODEL, messages=HELLO, n=3, seed=2**63 - 2)
    seeds = [request.sampling.seed for request in service.engine.requests]
    assert seeds == [2**63 - 2, 2**63 - 1, -(2**63)] * 2
    service.openai.completions.create(model=MODEL, prompt="a", n=2)
    assert [request.sampling.seed for request in service.engine.requests[-2:]] == [None, None]


@pytest.mark.parametrize("stream", [False, True])
def test_a_choice_that_fails_fails_the_request_and_ends_the_others(service: Service, stream: bool) -> None:
    service.engine.seconds_per_step = 0.01
    service.engine.script = lambda request: (
        [EngineUnavailable("the engine restarts")]
        if request.sampling.seed == 1
        else [TokenChunk((service.tokens("a")[0],))] * 100_000
    )
    with pytest.raises(Exception, match="the engine restarts"):
        for _ in service.openai.completions.create(model=MODEL, prompt="a", n=3, seed=0, stream=stream):
            pass
    service.engine.wait_until_idle()
