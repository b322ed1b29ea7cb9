"""Chat completions, asked for with OpenAI's own client."""

from __future__ import annotations

from typing import Any

import pytest
from openai import BadRequestError
from openai.types.chat import ChatCompletionChunk

from presets.serve_config import SamplingDefaults
from serving.engines.protocol import Sampling
from tests.serving.api.service import MAX_CONTEXT, MODEL, Service

HELLO: Any = [{"role": "user", "content": "Hello"}]
MANY_LANGUAGES = "Paris 🇫🇷 – 你好，世界! 👩‍🚀 ok"


def stream(service: Service, **parameters: Any) -> list[ChatCompletionChunk]:
    with service.openai.chat.completions.create(model=MODEL, messages=HELLO, stream=True, **parameters) as chunks:
        return list(chunks)


def text_of(chunks: list[ChatCompletionChunk]) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def test_an_answer_is_a_typed_object_with_text_reason_and_usage(service: Service) -> None:
    tokens = service.says("The capital is Paris.")
    answer = service.openai.chat.completions.create(model=MODEL, messages=HELLO)
    (choice,) = answer.choices
    assert choice.message.content == "The capital is Paris."
    assert choice.message.role == "assistant"
    assert choice.message.refusal is None
    assert choice.message.annotations == []
    assert choice.finish_reason == "stop"
    assert choice.logprobs is None
    assert answer.object == "chat.completion"
    assert answer.model == MODEL
    assert answer.id.startswith("chatcmpl-")
    assert answer.system_fingerprint == "fp_test"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == len(tokens)
    assert answer.usage.prompt_tokens == len(service.engine.requests[0].prompt_token_ids)
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.usage.prompt_tokens_details is not None
    assert answer.usage.prompt_tokens_details.cached_tokens == 0
    assert answer.usage.completion_tokens_details is not None
    assert answer.usage.completion_tokens_details.reasoning_tokens == 0


async def test_the_asynchronous_client_gets_the_same(service: Service) -> None:
    service.says("Paris")
    async with service.async_openai() as client:
        answer = await client.chat.completions.create(model=MODEL, messages=HELLO)
        assert answer.choices[0].message.content == "Paris"
        chunks = await client.chat.completions.create(model=MODEL, messages=HELLO, stream=True)
        assert text_of([chunk async for chunk in chunks]) == "Paris"


def test_a_stream_tells_the_role_once_and_the_reason_last(service: Service) -> None:
    service.says("one two three", chunk=2)
    chunks = stream(service)
    assert text_of(chunks) == "one two three"
    assert [chunk.choices[0].delta.role for chunk in chunks] == ["assistant", *[None] * (len(chunks) - 1)]
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [*[None] * (len(chunks) - 1), "stop"]
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1
    assert all(chunk.usage is None for chunk in chunks)
    assert len(chunks) > 3, "the text came in one piece"


def test_a_stream_on_the_wire_ends_with_done_and_leaves_unset_fields_out(service: Service) -> None:
    service.says("Hi")
    answer = service.http.post("/v1/chat/completions", json={"model": MODEL, "messages": HELLO, "stream": True})
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.endswith("data: [DONE]\n\n")
    first = answer.text.split("\n\n")[0]
    assert '"delta":{"role":"assistant","content":""}' in first
    assert "usage" not in answer.text


def test_usage_comes_in_a_last_chunk_without_choices_if_asked_for(service: Service) -> None:
    tokens = service.says("one two three")
    *chunks, last = stream(service, stream_options={"include_usage": True})
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.completion_tokens == len(tokens)
    assert all(chunk.usage is None for chunk in chunks)
    assert text_of(chunks) == "one two three"


@pytest.mark.parametrize("chunk", [1, 2, 3, 50])
def test_characters_of_several_tokens_arrive_whole(service: Service, chunk: int) -> None:
    assert len(service.tokens("👩‍🚀")) > 3, "this text does not test what it is meant to"
    service.says(MANY_LANGUAGES, chunk=chunk)
    pieces = [chunk.choices[0].delta.content or "" for chunk in stream(service)]
    assert "".join(pieces) == MANY_LANGUAGES
    assert not any("\ufffd" in piece for piece in pieces)


def test_an_answer_cut_inside_a_character_shows_that_it_was(service: Service) -> None:
    service.engine.says(service.tokens("ok 👩‍🚀")[:3], finish_reason="length")
    answer = service.openai.chat.completions.create(model=MODEL, messages=HELLO)
    assert answer.choices[0].message.content == "ok \ufffd"
    assert answer.choices[0].finish_reason == "length"


@pytest.mark.parametrize("chunk", [1, 2, 5, 50])
@pytest.mark.parametrize("stop", ["END", ["never", "END"], ["END of"]])
def test_text_ends_before_a_stop_string_wherever_tokens_end(service: Service, stop: Any, chunk: int) -> None:
    service.says("This is the END of it. More END", chunk=chunk)
    answer = service.openai.chat.completions.create(model=MODEL, messages=HELLO, stop=stop)
    assert answer.choices[0].message.content == "This is the "
    assert answer.choices[0].finish_reason == "stop"
    assert text_of(stream(service, stop=stop)) == "This is the "


def test_text_that_only_resembles_a_stop_string_is_not_lost(service: Service) -> None:
    service.says("almost EN", finish_reason="length")
    answer = service.openai.chat.completions.create(model=MODEL, messages=HELLO, stop="END")
    assert answer.choices[0].message.content == "almost EN"
    assert answer.choices[0].finish_reason == "length"


def test_a_stop_string_ends_the_work_of_the_engine(service: Service) -> None:
    service.engine.never_ends(service.tokens(" END")[0])
    answer = service.openai.chat.completions.create(model=MODEL, messages=HELLO, stop="END END END")
    assert answer.usage is not None
    assert answer.usage.completion_tokens <= 12
    service.engine.wait_until_idle()


def test_sampling_parameters_reach_the_engine(service: Service) -> None:
    service.openai.chat.completions.create(
        model=MODEL,
        messages=HELLO,
        temperature=0.3,
        top_p=0.8,
        seed=7,
        frequency_penalty=0.5,
        presence_penalty=-0.5,
        logit_bias={"17": 5, "18": -100},
        max_completion_tokens=5,
        extra_body={"top_k": 40, "min_p": 0.1, "repetition_penalty": 1.2, "min_tokens": 2, "stop_token_ids": [99]},
    )
    (request,) = service.engine.requests
    assert request.sampling == Sampling(
        temperature=0.3,
        top_p=0.8,
        top_k=40,
        min_p=0.1,
        repetition_penalty=1.2,
        frequency_penalty=0.5,
        presence_penalty=-0.5,
        logit_bias={17: 5.0, 18: -100.0},
        seed=7,
    )
    assert (request.max_tokens, request.min_tokens) == (5, 2)
    assert 99 in request.stop_token_ids
    assert len(request.stop_token_ids) > 1, "the model's own end of turn is not known to the engine"
    assert request.logprobs is None


def test_what_a_request_leaves_open_is_the_workspace_s_default_at_that_moment(service: Service) -> None:
    service.sampling = SamplingDefaults(temperature=0.5, top_p=0.9, top_k=20, min_p=0.02, repetition_penalty=1.05)
    service.openai.chat.completions.create(model=MODEL, messages=HELLO)
    service.sampling = SamplingDefaults(temperature=0.1)
    service.openai.chat.completions.create(model=MODEL, messages=HELLO)
    first, second = service.engine.requests
    assert first.sampling == Sampling(temperature=0.5, top_p=0.9, top_k=20, min_p=0.02, repetition_penalty=1.05)
    assert second.sampling == Sampling(temperature=0.1)
    assert first.max_tokens == MAX_CONTEXT - len(first.prompt_token_ids), "the rest of the context"


def test_an_empty_nucleus_is_the_likeliest_token(service: Service) -> None:
    service.openai.chat.completions.create(model=MODEL, messages=HELLO, top_p=0)
    assert service.engine.requests[0].sampling == Sampling(temperature=0.0)


def test_the_chat_template_sees_every_turn(service: Service) -> None:
    messages: Any = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "One"}, {"type": "text", "text": "Two"}]},
        {
            "role": "assistant",
            "content": "Three",
            "refusal": None,
            "annotations": [],
            "audio": None,
            "tool_calls": None,
        },
        {"role": "user", "content": "Four", "name": "Ada"},
    ]
    service.openai.chat.completions.create(model=MODEL, messages=messages)
    assert service.prompt_of() == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nOne\nTwo<|im_end|>\n"
        "<|im_start|>assistant\nThree<|im_end|>\n<|im_start|>user\nFour<|im_end|>\n<|im_start|>assistant\n"
    )


def test_a_conversation_beyond_the_context_is_refused_with_both_numbers(service: Service) -> None:
    messages: Any = [{"role": "user", "content": "word " * 600}]
    with pytest.raises(BadRequestError) as caught:
        service.openai.chat.completions.create(model=MODEL, messages=messages)
    assert caught.value.code == "context_length_exceeded"
    assert caught.value.param == "messages"
    assert str(MAX_CONTEXT) in caught.value.message
    assert "631" in caught.value.message
    assert service.engine.requests == []


def test_an_answer_that_would_not_fit_is_refused_with_the_numbers(service: Service) -> None:
    with pytest.raises(BadRequestError) as caught:
        service.openai.chat.completions.create(model=MODEL, messages=HELLO, max_completion_tokens=500)
    prompt = 31
    assert caught.value.code == "context_length_exceeded"
    for number in (MAX_CONTEXT, prompt + 500, prompt, 500):
        assert str(number) in caught.value.message
