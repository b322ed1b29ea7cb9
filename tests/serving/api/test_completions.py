"""Completions of plain text, asked for with OpenAI's own client."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
from openai import BadRequestError

from serving.engines.protocol import EngineUnavailable, TokenChunk
from tests.serving.api.service import MAX_CONTEXT, MODEL, Service


def test_a_completion_is_a_typed_object_with_text_reason_and_usage(service: Service) -> None:
    tokens = service.says(" Paris.")
    answer = service.openai.completions.create(model=MODEL, prompt="The capital of France is")
    (choice,) = answer.choices
    assert (choice.text, choice.index, choice.finish_reason, choice.logprobs) == (" Paris.", 0, "stop", None)
    assert answer.object == "text_completion"
    assert answer.id.startswith("cmpl-")
    assert answer.usage is not None
    assert answer.usage.completion_tokens == len(tokens)
    assert answer.usage.prompt_tokens == len(service.tokens("The capital of France is"))
    assert service.engine.requests[0].max_tokens == 16, "OpenAI's default"
    assert service.prompt_of() == "The capital of France is", "a plain prompt gets no chat template"


def test_a_stream_is_of_the_same_objects(service: Service) -> None:
    service.says(" one two three")
    with service.openai.completions.create(
        model=MODEL, prompt="zero", stream=True, stream_options={"include_usage": True}
    ) as stream:
        *chunks, last = stream
    assert "".join(chunk.choices[0].text for chunk in chunks) == " one two three"
    assert [chunk.choices[0].finish_reason for chunk in chunks][-2:] == [None, "stop"]
    assert len({chunk.id for chunk in [*chunks, last]}) == 1
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.completion_tokens == 3


def by_prompt(service: Service, answers: dict[str, str]) -> None:
    """The engine answers each prompt with its own text, in steps of one token."""
    service.engine.seconds_per_step = 0.001
    service.engine.script = lambda request: [
        *(
            TokenChunk((token,))
            for token in service.tokens(answers[service.reference.decode(request.prompt_token_ids)])
        ),
        TokenChunk((), "stop"),
    ]


def test_several_prompts_are_answered_together_each_as_a_choice(service: Service) -> None:
    by_prompt(service, {"a": " short", "b": " a longer answer than the others", "c": ""})
    answer = service.openai.completions.create(model=MODEL, prompt=["a", "b", "c"])
    assert [choice.text for choice in answer.choices] == [" short", " a longer answer than the others", ""]
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == 3


def test_a_stream_of_several_prompts_says_which_chunk_is_whose(service: Service) -> None:
    by_prompt(service, {"a": " short", "b": " a longer answer than the others"})
    texts: defaultdict[int, str] = defaultdict(str)
    with service.openai.completions.create(model=MODEL, prompt=["a", "b"], stream=True, echo=True) as stream:
        for chunk in stream:
            texts[chunk.choices[0].index] += chunk.choices[0].text
    assert texts == {0: "a short", 1: "b a longer answer than the others"}


def test_one_prompt_that_fails_fails_the_request_and_ends_the_others(service: Service) -> None:
    failing = service.tokens("fail")
    service.engine.seconds_per_step = 0.01
    service.engine.script = lambda request: (
        [EngineUnavailable("the engine restarts")]
        if list(request.prompt_token_ids) == failing
        else [TokenChunk((failing[0],))] * 100_000
    )
    with pytest.raises(Exception, match="the engine restarts"):
        service.openai.completions.create(model=MODEL, prompt=["go on", "fail"])
    service.engine.wait_until_idle()


@pytest.mark.parametrize("batch", [False, True])
def test_a_prompt_may_be_tokens(service: Service, batch: bool) -> None:
    service.says("!")
    ids = service.tokens("Hello world")
    prompt: Any = [ids, ids[:1]] if batch else ids
    answer = service.openai.completions.create(model=MODEL, prompt=prompt, echo=True)
    assert [choice.text for choice in answer.choices] == (["Hello world!", "Hello!"] if batch else ["Hello world!"])
    assert service.engine.requests[0].prompt_token_ids == tuple(ids)


def test_a_prompt_that_nearly_fills_the_context_gets_what_room_there_is(service: Service) -> None:
    service.openai.completions.create(model=MODEL, prompt=[5] * (MAX_CONTEXT - 3))
    assert service.engine.requests[0].max_tokens == 3, "nobody asked for the default of 16"


def test_a_benchmark_may_ask_for_all_tokens_whatever_the_model_says(service: Service) -> None:
    service.openai.completions.create(model=MODEL, prompt="Hi", extra_body={"ignore_eos": True})
    assert service.engine.requests[0].stop_token_ids == frozenset()


def test_only_the_stop_tokens_of_the_request_end_it_if_it_ignores_the_model_s(service: Service) -> None:
    service.openai.completions.create(model=MODEL, prompt="Hi", extra_body={"ignore_eos": True, "stop_token_ids": [5]})
    assert service.engine.requests[0].stop_token_ids == {5}


def test_a_stop_string_may_span_the_end_of_one_token_and_the_next(service: Service) -> None:
    service.says(" one two three four")
    answer = service.openai.completions.create(model=MODEL, prompt="zero", stop=["wo thr", "x", "y", "z"])
    assert answer.choices[0].text == " one t"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 3, "tokens count that were made, though their text was cut off"


@pytest.mark.parametrize(
    ("prompt", "says"),
    [
        pytest.param("", "The prompt is empty", id="no text"),
        pytest.param([], "at least 1", id="no prompts"),
        pytest.param(["fine", ""], "The prompt is empty", id="one without text"),
        pytest.param([999_999], "token 999999, but this model's tokens are below 49152", id="no such token"),
        pytest.param([-1], "prompt[0]", id="negative token"),
        pytest.param([[1, 2], []], "prompt[1]", id="one without tokens"),
        pytest.param(["text", 1], "prompt[1]", id="mixed"),
        pytest.param(["a"] * 129, "128", id="too many"),
        pytest.param("word " * 600, "601", id="too long"),
    ],
)
def test_a_prompt_that_cannot_be_continued_is_refused(service: Service, prompt: Any, says: str) -> None:
    with pytest.raises(BadRequestError) as caught:
        service.openai.completions.create(model=MODEL, prompt=prompt)
    assert says in caught.value.message
    assert service.engine.requests == []


def test_a_completion_that_would_not_fit_is_refused_with_the_numbers(service: Service) -> None:
    with pytest.raises(BadRequestError) as caught:
        service.openai.completions.create(model=MODEL, prompt=service.tokens("Hello world"), max_tokens=511)
    assert caught.value.code == "context_length_exceeded"
    assert caught.value.param == "prompt"
    for number in (MAX_CONTEXT, 513, 2, 511):
        assert str(number) in caught.value.message
