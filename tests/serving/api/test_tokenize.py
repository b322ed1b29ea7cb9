"""Tokens are counted and shown as vLLM does, and a text that is far too long is refused without reading it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.serving.api.service import MAX_CONTEXT, MODEL, Service

MESSAGES = [{"role": "user", "content": "Hello"}]
OPENING = "<|im_start|>assistant\n"


def tokenize(service: Service, **body: Any) -> dict[str, Any]:
    answer = service.http.post("/tokenize", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_text_is_shown_as_tokens(service: Service) -> None:
    tokens = service.tokens("Hello world")
    assert tokenize(service, model=MODEL, prompt="Hello world") == {
        "count": len(tokens),
        "max_model_len": MAX_CONTEXT,
        "tokens": tokens,
        "token_strs": None,
    }


def test_the_tokens_are_shown_as_the_vocabulary_writes_them(service: Service) -> None:
    assert tokenize(service, prompt="Hello world", return_token_strs=True)["token_strs"] == ["Hello", "Ġworld"]


def test_a_conversation_is_counted_as_the_engine_would_get_it(service: Service) -> None:
    service.says("Hi")
    service.openai.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "Hello"}])
    assert tokenize(service, messages=MESSAGES)["tokens"] == list(service.engine.requests[0].prompt_token_ids)


def test_a_conversation_is_counted_without_the_opening_of_the_answer(service: Service) -> None:
    whole = tokenize(service, messages=MESSAGES)["tokens"]
    without = tokenize(service, messages=MESSAGES, add_generation_prompt=False)["tokens"]
    assert whole == without + service.tokens(OPENING)


def test_a_text_may_be_empty_or_longer_than_the_context(service: Service) -> None:
    assert tokenize(service, prompt="")["count"] == 0
    assert tokenize(service, prompt=" word" * 2 * MAX_CONTEXT)["count"] == 2 * MAX_CONTEXT


@pytest.mark.parametrize("text", ["Hello world", "你好 👩‍🚀", "<|im_start|>user\nHello<|im_end|>\n", ""])
def test_tokens_are_shown_as_their_text(service: Service, text: str) -> None:
    answer = service.http.post("/detokenize", json={"model": MODEL, "tokens": service.tokens(text)})
    assert answer.json() == {"prompt": text}


@pytest.mark.parametrize(
    ("path", "body", "status", "param", "code"),
    [
        ("/tokenize", {}, 400, "prompt", "missing_required_parameter"),
        ("/tokenize", {"prompt": "a", "messages": MESSAGES}, 400, "prompt", "invalid_value"),
        ("/tokenize", {"prompt": "a", "add_generation_prompt": True}, 400, "add_generation_prompt", "invalid_value"),
        ("/tokenize", {"messages": MESSAGES, "add_special_tokens": True}, 400, "add_special_tokens", "invalid_value"),
        ("/tokenize", {"prompt": "a", "tools": [{}]}, 400, "tools[0].type", "missing_required_parameter"),
        ("/tokenize", {"prompt": "a", "chat_template_kwargs": {"b": 1}}, 400, "chat_template_kwargs", "invalid_value"),
        ("/tokenize", {"prompt": "a", "chat_template": "b"}, 400, "chat_template", "unsupported_parameter"),
        ("/tokenize", {"prompt": "a", "model": "other"}, 404, "model", "model_not_found"),
        ("/detokenize", {}, 400, "tokens", "missing_required_parameter"),
        ("/detokenize", {"tokens": [49152]}, 400, "tokens", "invalid_value"),
        ("/detokenize", {"tokens": [1, -1]}, 400, "tokens[1]", "invalid_value"),
        ("/detokenize", {"tokens": [1], "model": "other"}, 404, "model", "model_not_found"),
    ],
    ids=str,
)
def test_what_cannot_be_counted_is_refused(
    service: Service, path: str, body: dict[str, Any], status: int, param: str, code: str
) -> None:
    answer = service.http.post(path, json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["code"]) == (status, param, code)


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/tokenize", {"prompt": "@"}, "prompt"),
        ("/v1/completions", {"model": MODEL, "prompt": "@"}, "prompt"),
        ("/chat", {"prompt": "@"}, "prompt"),
        ("/v1/chat/completions", {"model": MODEL, "messages": [{"role": "user", "content": "@"}]}, "messages"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_text_that_is_far_too_long_is_refused_by_its_length(
    service: Service, path: str, body: dict[str, Any], param: str
) -> None:
    text = "x" * 3_200_000
    filled = {
        **body,
        **({"prompt": text} if "prompt" in body else {"messages": [{"role": "user", "content": text}]}),
    }
    answer = service.http.post(path, json=filled)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["code"]) == (400, param, "context_length_exceeded")
    assert "characters" in error["message"], "it was counted, which takes a hundred times its size in memory"
    assert str(MAX_CONTEXT) in error["message"]
