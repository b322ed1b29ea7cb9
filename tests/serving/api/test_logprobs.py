"""Log probabilities as OpenAI's own client reads them."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types.chat.chat_completion_token_logprob import ChatCompletionTokenLogprob

from serving.engines.protocol import TokenChunk, TokenLogprobs
from tests.serving.api.scripted_engine import LOGPROB
from tests.serving.api.service import MODEL, Service

HELLO: Any = [{"role": "user", "content": "Hello"}]
WOMAN = "ok 👩‍🚀!"


def streamed(service: Service, **parameters: Any) -> list[tuple[str, list[ChatCompletionTokenLogprob] | None]]:
    """Text and log probabilities of each chunk."""
    with service.openai.chat.completions.create(model=MODEL, messages=HELLO, stream=True, **parameters) as stream:
        return [
            (choice.delta.content or "", choice.logprobs.content if choice.logprobs is not None else None)
            for chunk in stream
            for choice in chunk.choices
        ]


def test_each_token_of_a_chat_has_its_text_its_bytes_and_the_likeliest(service: Service) -> None:
    ids = service.says("The capital is Paris.")
    answer = service.openai.chat.completions.create(model=MODEL, messages=HELLO, logprobs=True, top_logprobs=3)
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.refusal is None
    content = logprobs.content
    assert content is not None
    assert [entry.token for entry in content] == ["The", " capital", " is", " Paris", "."]
    assert [bytes(entry.bytes or ()) for entry in content] == [b"The", b" capital", b" is", b" Paris", b"."]
    assert {entry.logprob for entry in content} == {LOGPROB}
    for token_id, entry in zip(ids, content, strict=True):
        expected = [(service.reference.decode([token_id + place]), LOGPROB - place) for place in range(3)]
        assert [(top.token, top.logprob) for top in entry.top_logprobs] == expected
        assert all(bytes(top.bytes or ()).decode() == top.token for top in entry.top_logprobs)
    assert service.engine.requests[0].logprobs == 3


def test_without_a_number_only_the_chosen_tokens_are_told(service: Service) -> None:
    service.says("Paris")
    answer = service.openai.chat.completions.create(model=MODEL, messages=HELLO, logprobs=True)
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content is not None
    assert [(entry.token, entry.top_logprobs) for entry in logprobs.content] == [("Paris", [])]
    assert service.engine.requests[0].logprobs == 0


def test_nobody_who_did_not_ask_is_told(service: Service) -> None:
    service.says("Paris")
    assert service.openai.chat.completions.create(model=MODEL, messages=HELLO).choices[0].logprobs is None
    assert service.openai.completions.create(model=MODEL, prompt="a").choices[0].logprobs is None
    assert [request.logprobs for request in service.engine.requests] == [None, None]


@pytest.mark.parametrize("chunk", [1, 2, 50])
def test_a_part_of_a_character_is_told_by_its_bytes(service: Service, chunk: int) -> None:
    service.says(WOMAN, chunk=chunk)
    pieces = streamed(service, logprobs=True, top_logprobs=1)
    content = [entry for _, entries in pieces for entry in entries or ()]
    assert "".join(text for text, _ in pieces) == WOMAN
    assert b"".join(bytes(entry.bytes or ()) for entry in content) == WOMAN.encode()
    parts = [entry for entry in content if "\ufffd" in entry.token]
    assert len(parts) > 3
    assert all(bytes(entry.bytes or ()).decode(errors="replace") == entry.token for entry in content)


def test_a_stream_tells_what_the_whole_answer_tells_each_token_with_its_text(service: Service) -> None:
    service.says("The capital is Paris.", chunk=2)
    answer = service.openai.chat.completions.create(model=MODEL, messages=HELLO, logprobs=True, top_logprobs=2)
    pieces = streamed(service, logprobs=True, top_logprobs=2)
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    assert [entry for _, entries in pieces for entry in entries or ()] == logprobs.content
    for text, entries in pieces:
        assert text == "".join(entry.token for entry in entries or ())


@pytest.mark.parametrize("chunk", [1, 3, 50])
@pytest.mark.parametrize("stream", [False, True])
def test_tokens_that_a_stop_string_cuts_off_are_not_told(service: Service, stream: bool, chunk: int) -> None:
    service.says("one two three four five", chunk=chunk)
    if stream:
        pieces = streamed(service, logprobs=True, stop="ree four")
        tokens = [entry.token for _, entries in pieces for entry in entries or ()]
        text = "".join(text for text, _ in pieces)
    else:
        (choice,) = service.openai.chat.completions.create(
            model=MODEL, messages=HELLO, logprobs=True, stop="ree four"
        ).choices
        assert choice.logprobs is not None
        tokens, text = [entry.token for entry in choice.logprobs.content or ()], choice.message.content
    assert text == "one two th"
    assert tokens == ["one", " two", " three"], "the tokens of the text, whole"


def test_a_text_that_was_held_back_in_vain_comes_with_its_tokens(service: Service) -> None:
    service.says("one two three", finish_reason="length")
    pieces = streamed(service, logprobs=True, stop=" two three four")
    assert [(text, [entry.token for entry in entries]) for text, entries in pieces if entries] == [
        ("one", ["one"]),
        (" two three", [" two", " three"]),
    ]


def test_completions_tell_in_four_lists(service: Service) -> None:
    ids = service.says(" one two")
    answer = service.openai.completions.create(model=MODEL, prompt="zero", logprobs=2)
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.tokens == [" one", " two"]
    assert logprobs.text_offset == [0, 4]
    assert logprobs.token_logprobs == [LOGPROB, LOGPROB]
    assert logprobs.top_logprobs == [
        {service.reference.decode([token_id + place]): LOGPROB - place for place in range(2)} for token_id in ids
    ]


def test_a_stream_of_completions_goes_on_counting_characters(service: Service) -> None:
    service.says(WOMAN)
    with service.openai.completions.create(model=MODEL, prompt="zero", logprobs=0, stream=True) as stream:
        chunks = [choice for chunk in stream for choice in chunk.choices]
    tokens = [token for choice in chunks if choice.logprobs for token in choice.logprobs.tokens or ()]
    offsets = [offset for choice in chunks if choice.logprobs for offset in choice.logprobs.text_offset or ()]
    assert "".join(choice.text for choice in chunks) == WOMAN
    assert len(tokens) == len(offsets) == len(service.tokens(WOMAN))
    assert offsets == sorted(offsets)
    assert offsets[-1] == len(WOMAN) - 1, "the exclamation mark stands last"


def test_the_chosen_token_is_told_even_if_it_is_not_among_the_likeliest(service: Service) -> None:
    (chosen,) = service.tokens(" one")
    (likelier,) = service.tokens(" two")
    step = TokenChunk((chosen,), "length", (TokenLogprobs(-5.0, ((likelier, -0.5),)),))
    service.engine.script = lambda _: [step]
    answer = service.openai.completions.create(model=MODEL, prompt="zero", logprobs=1)
    assert answer.choices[0].logprobs is not None
    assert answer.choices[0].logprobs.top_logprobs == [{" two": -0.5, " one": -5.0}]
    chat = service.openai.chat.completions.create(model=MODEL, messages=HELLO, logprobs=True, top_logprobs=1)
    assert chat.choices[0].logprobs is not None
    assert chat.choices[0].logprobs.content is not None
    (entry,) = chat.choices[0].logprobs.content
    assert (entry.token, entry.logprob) == (" one", -5.0)
    assert [(top.token, top.logprob) for top in entry.top_logprobs] == [(" two", -0.5)]


def test_what_is_impossible_is_a_number_that_json_has(service: Service) -> None:
    (token,) = service.tokens(" one")
    step = TokenChunk((token,), "length", (TokenLogprobs(float("-inf"), ((token, float("-inf")),)),))
    service.engine.script = lambda _: [step]
    answer = service.openai.completions.create(model=MODEL, prompt="zero", logprobs=1)
    assert answer.choices[0].logprobs is not None
    assert answer.choices[0].logprobs.token_logprobs == [-9999.0]


def test_each_of_several_choices_has_its_own(service: Service) -> None:
    service.says(" one two")
    answer = service.openai.chat.completions.create(model=MODEL, messages=HELLO, logprobs=True, n=2)
    for choice in answer.choices:
        assert choice.logprobs is not None
        assert [entry.token for entry in choice.logprobs.content or ()] == [" one", " two"]


def test_all_fields_are_on_the_wire_of_a_stream(service: Service) -> None:
    service.says("Hi")
    body = {"model": MODEL, "messages": HELLO, "stream": True, "logprobs": True, "top_logprobs": 1}
    text = service.http.post("/v1/chat/completions", json=body).text
    assert '"logprobs":{"content":[{"token":"Hi","bytes":[72,105],"logprob":-0.25,"top_logprobs":[{"token":' in text
    assert '"refusal":null}' in text
