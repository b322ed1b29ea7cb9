"""What a model thinks is told apart from what it answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from openai.types.chat import ChatCompletionChunk

from tests.serving.api.conftest import ServeTools
from tests.serving.api.service import MODEL, Service
from tests.serving.obedient import takes

ASK: Any = [{"role": "user", "content": "What is 6 times 7?"}]
THOUGHTS = "Six sevens.\nThat is 42."
TEXT = f"<think>\n{THOUGHTS}\n</think>\n\nIt is 42."


@pytest.fixture
def thinker(serve_tools: ServeTools) -> Iterator[Service]:
    with serve_tools("hermes", "qwen3") as service:
        yield service


def ask(service: Service, **parameters: Any) -> Any:
    return service.openai.chat.completions.create(**{"model": MODEL, "messages": ASK, **parameters})


def chunks_of(service: Service, **parameters: Any) -> list[ChatCompletionChunk]:
    with ask(service, stream=True, **parameters) as chunks:
        return list(chunks)


def thoughts_of(chunks: list[ChatCompletionChunk]) -> str:
    extras = [chunk.choices[0].delta.model_extra or {} for chunk in chunks if chunk.choices]
    return "".join(extra.get("reasoning_content") or "" for extra in extras)


def content_of(chunks: list[ChatCompletionChunk]) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def test_thoughts_are_no_content(thinker: Service) -> None:
    thinker.says(TEXT)
    answer = ask(thinker)
    message = answer.choices[0].message
    assert message.content == "It is 42."
    assert message.reasoning_content == THOUGHTS
    assert answer.usage.completion_tokens_details.reasoning_tokens == len(thinker.tokens(THOUGHTS))


@pytest.mark.parametrize("chunk", [1, 2, 5, 100])
def test_a_stream_tells_thoughts_first(thinker: Service, chunk: int) -> None:
    thinker.says(TEXT, chunk=chunk)
    chunks = chunks_of(thinker, stream_options={"include_usage": True})
    assert (thoughts_of(chunks), content_of(chunks)) == (THOUGHTS, "It is 42.")
    usage = chunks[-1].usage
    assert usage is not None
    assert usage.completion_tokens_details is not None
    assert usage.completion_tokens_details.reasoning_tokens == len(thinker.tokens(THOUGHTS))


def test_thoughts_without_an_end_are_thoughts(thinker: Service) -> None:
    thinker.says(f"<think>{THOUGHTS}", finish_reason="length")
    choice = ask(thinker).choices[0]
    assert (choice.message.content, choice.message.reasoning_content) == ("", THOUGHTS)
    assert choice.finish_reason == "length"


@pytest.mark.parametrize("text", ["It is 42.", "<thin", " <b>42</b> </think>", ""])
def test_an_answer_without_thoughts_is_all_content(thinker: Service, text: str) -> None:
    thinker.says(text)
    message = ask(thinker).choices[0].message
    assert message.content == text
    assert not hasattr(message, "reasoning_content")


def test_a_prompt_that_begins_the_thoughts_leaves_their_end_to_be_found(thinker: Service) -> None:
    thinker.says(f"{THOUGHTS}\n</think>\n\nIt is 42.")
    answer = ask(thinker, extra_body={"chat_template_kwargs": {"enable_thinking": True}})
    assert thinker.prompt_of().endswith("<think>\n")
    assert answer.choices[0].message.content == "It is 42."
    assert answer.choices[0].message.reasoning_content == THOUGHTS


@pytest.mark.parametrize(
    "off", [{"extra_body": {"chat_template_kwargs": {"enable_thinking": False}}}, {"reasoning_effort": "none"}], ids=str
)
def test_thinking_can_be_turned_off(thinker: Service, off: dict[str, Any]) -> None:
    thinker.says("It is 42.")
    assert ask(thinker, **off).choices[0].message.content == "It is 42."
    assert thinker.prompt_of().endswith("</think>\n\n")


def test_markers_that_are_special_tokens_are_seen(serve_tools: ServeTools) -> None:
    with serve_tools(None, "mistral") as service:
        service.says(f"[THINK]{THOUGHTS}[/THINK]It is 42.")
        message: Any = ask(service).choices[0].message
        assert (message.content, message.reasoning_content) == ("It is 42.", THOUGHTS)


def test_an_answer_of_a_form_may_be_thought_over(thinker: Service) -> None:
    ask(thinker, response_format={"type": "json_object"})
    grammar = thinker.engine.requests[0].grammar
    assert grammar is not None
    assert takes(grammar, '<think>\nAny { thought\n</think>\n\n{"answer": 42}')
    assert takes(grammar, '{"answer": 42}')
    assert not takes(grammar, "<think>\nhm\n</think>\n\n42")


def test_calls_after_thoughts_are_calls_and_in_thoughts_are_not(thinker: Service) -> None:
    call = '<tool_call>{"name": "clock", "arguments": {}}</tool_call>'
    thinker.says(f"<think>I could {call}</think>{call}")
    choice = ask(thinker, tools=[{"type": "function", "function": {"name": "clock"}}]).choices[0]
    assert len(choice.message.tool_calls) == 1
    assert choice.message.reasoning_content == f"I could {call}"


def test_thoughts_can_be_sent_back(thinker: Service) -> None:
    thinker.says(TEXT)
    message = ask(thinker).choices[0].message
    thinker.says("Yes.")
    again = [*ASK, message.model_dump(), {"role": "user", "content": "Sure?"}]
    assert ask(thinker, messages=again).choices[0].message.content == "Yes."


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"chat_template_kwargs": {"enable_thinkin": False}}, "chat_template_kwargs", "invalid_value"),
        ({"chat_template_kwargs": {"messages": []}}, "chat_template_kwargs", "invalid_value"),
        ({"chat_template_kwargs": {"bos_token": "x"}}, "chat_template_kwargs", "invalid_value"),
        ({"reasoning_effort": "high"}, "reasoning_effort", "unsupported_parameter"),
        ({"reasoning_effort": "enormous"}, "reasoning_effort", "invalid_value"),
    ],
    ids=str,
)
def test_a_setting_that_the_model_does_not_have_is_refused(
    thinker: Service, body: dict[str, Any], param: str, code: str
) -> None:
    answer = thinker.http.post("/v1/chat/completions", json={"model": MODEL, "messages": ASK, **body})
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["code"]) == (400, param, code), error
