"""Every answer that is no success has OpenAI's shape, wherever it comes from."""

from __future__ import annotations

import time
from typing import Any

import pytest
from openai import APIError, BadRequestError, InternalServerError, NotFoundError, RateLimitError

from serving.engines.protocol import EngineOverloaded, EngineUnavailable, RequestFailed
from tests.serving.api.service import MODEL, PREFIX, Service

HELLO: Any = [{"role": "user", "content": "Hello"}]
CHAT = {"model": MODEL, "messages": HELLO}


@pytest.mark.parametrize("stream", [False, True])
def test_a_model_that_is_not_there_is_not_found(service: Service, stream: bool) -> None:
    with pytest.raises(NotFoundError) as caught:
        service.openai.chat.completions.create(model="gpt-5", messages=HELLO, stream=stream)
    error = caught.value
    assert (error.code, error.param, error.type) == ("model_not_found", "model", "invalid_request_error")
    assert MODEL in error.message, "the message does not say which model there is"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("raised", "expected", "code", "retry_after"),
    [
        (EngineUnavailable("the engine restarts", retry_after=7), InternalServerError, "engine_unavailable", "7"),
        (EngineUnavailable("cold start", retry_after=900), InternalServerError, "engine_unavailable", "120"),
        (EngineOverloaded("256 requests wait", retry_after=3), RateLimitError, "engine_overloaded", "3"),
    ],
)
def test_an_engine_that_cannot_answer_says_when_to_try_again(
    service: Service, stream: bool, raised: Exception, expected: type, code: str, retry_after: str
) -> None:
    service.engine.says(then=raised)
    with pytest.raises(expected) as caught:
        service.openai.chat.completions.create(model=MODEL, messages=HELLO, stream=stream)
    assert caught.value.code == code
    assert str(raised) in caught.value.message
    assert caught.value.response.headers["retry-after"] == retry_after
    assert caught.value.status_code == (429 if expected is RateLimitError else 503)


@pytest.mark.parametrize("stream", [False, True])
def test_a_failure_of_one_request_is_an_internal_error_with_its_reason(service: Service, stream: bool) -> None:
    service.engine.says(then=RequestFailed("logits are not finite"))
    with pytest.raises(InternalServerError, match="logits are not finite") as caught:
        service.openai.chat.completions.create(model=MODEL, messages=HELLO, stream=stream)
    assert (caught.value.status_code, caught.value.code) == (500, "generation_failed")


@pytest.mark.parametrize("stream", [False, True])
def test_an_unforeseen_failure_is_an_internal_error_without_details(service: Service, stream: bool) -> None:
    service.engine.says(then=ZeroDivisionError("secret detail"))
    with pytest.raises(InternalServerError) as caught:
        service.openai.chat.completions.create(model=MODEL, messages=HELLO, stream=stream)
    assert (caught.value.status_code, caught.value.code) == (500, "internal_error")
    assert "secret" not in caught.value.message


def test_a_stream_that_fails_after_its_beginning_raises_in_the_client(service: Service) -> None:
    service.says("one two three", then=EngineUnavailable("the engine died"))
    received: list[str] = []
    with service.openai.chat.completions.create(model=MODEL, messages=HELLO, stream=True) as stream:
        text = (chunk.choices[0].delta.content or "" for chunk in stream)
        with pytest.raises(APIError, match="the engine died") as caught:
            received.extend(text)
    assert "".join(received) == "one two three"
    assert caught.value.code == "engine_unavailable"


async def test_the_asynchronous_client_raises_too(service: Service) -> None:
    service.says("one two three", then=RequestFailed("logits are not finite"))
    async with service.async_openai() as client:
        with pytest.raises(APIError, match="not finite"):
            async for _ in await client.completions.create(model=MODEL, prompt="zero", stream=True):
                pass


def test_a_failed_stream_still_ends_as_streams_do(service: Service) -> None:
    service.says("one", then=RequestFailed("no"))
    answer = service.http.post("/v1/chat/completions", json={**CHAT, "stream": True})
    assert answer.status_code == 200
    *_, error, done, rest = answer.text.split("\n\n")
    assert error == ('data: {"error":{"message":"no","type":"server_error","param":null,"code":"generation_failed"}}')
    assert (done, rest) == ("data: [DONE]", "")


def test_a_pipe_that_breaks_inside_the_service_is_not_taken_for_a_client_that_left(service: Service) -> None:
    service.says("one", then=BrokenPipeError("engine"))
    answer = service.http.post("/v1/chat/completions", json={**CHAT, "stream": True})
    assert '"code":"internal_error"' in answer.text
    assert answer.text.endswith("data: [DONE]\n\n")


JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status", "code", "says"),
    [
        ("POST", "/v1/chat/completions", b"{", JSON, 400, "invalid_json", "at character 1"),
        ("POST", "/v1/chat/completions", b"[" * 100_000, JSON, 400, "invalid_json", "nested too deeply"),
        ("POST", "/v1/chat/completions", b"\xff{}", JSON, 400, "invalid_json", "byte 0 is not UTF-8"),
        ("POST", "/v1/chat/completions", b"1" * 5000, JSON, 400, "invalid_json", "4300 digits"),
        ("POST", "/v1/chat/completions", b"", JSON, 400, "invalid_body", "needs a JSON body"),
        ("POST", "/v1/chat/completions", b"[]", JSON, 400, "invalid_body", "a JSON object"),
        ("POST", "/v1/chat/completions", b'{"a": 1}', {}, 400, "invalid_body", "application/json"),
        ("POST", "/v1/chat/completions", b'{"temperature": NaN}', JSON, 400, "missing_required_parameter", "messages"),
        ("POST", "/v1/completions", b" " * (4 * 2**20 + 1), JSON, 413, "request_too_large", "4194304"),
        ("GET", "/v1/chat/completions", b"", {}, 405, "method_not_allowed", "POST"),
        ("GET", "/v1/nothing", b"", {}, 404, "unknown_url", f"{PREFIX}/docs"),
        ("GET", "/v1/models/org/other", b"", {}, 404, "model_not_found", "org/other"),
        ("POST", "/v1/chat/completions", b'{"\\ud800": 1}', JSON, 400, "invalid_body", "unicode string"),
        ("POST", "/v1/completions", b'{"model": "\\ud800", "prompt": "a"}', JSON, 404, "model_not_found", r"'\ud800'"),
        ("POST", "/v1/completions", b'{"' + b"x" * 10**6 + b'": 1}', JSON, 400, "missing_required_parameter", "xx …"),
    ],
    ids=[
        "broken json",
        "nested json",
        "not utf-8",
        "long number",
        "no body",
        "a list",
        "no content type",
        "not a number",
        "large body",
        "wrong method",
        "unknown url",
        "unknown model",
        "half a character in a name",
        "half a character in a model",
        "long name",
    ],
)
def test_what_never_reaches_a_handler_is_answered_in_the_same_shape(
    service: Service, method: str, path: str, body: bytes, headers: dict[str, str], status: int, code: str, says: str
) -> None:
    answer = service.http.request(method, path, content=body, headers=headers)
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["code"] == code
    assert says in error["message"]


@pytest.mark.parametrize(
    ("path", "start", "item", "param"),
    [
        ("/v1/completions", '"model": "m", "prompt": ', "-1", "prompt[0]"),
        ("/v1/completions", '"model": "m", "prompt": ', '""', None),
        ("/v1/chat/completions", '"model": "m", "messages": ', "{}", "messages[0].role"),
        ("/chat", '"prompt": "m", "generate_kwargs": {"eos_token_id": ', "-1", "generate_kwargs.eos_token_id[0]"),
    ],
    ids=["tokens", "prompts", "messages", "ends"],
)
def test_a_million_mistakes_do_not_keep_the_service_busy(
    service: Service, path: str, start: str, item: str, param: str | None
) -> None:
    body = "{" + start + "[" + ",".join([item] * 10**6) + "]" + "}" * (1 + ("kwargs" in start))
    started = time.monotonic()
    answer = service.http.post(path, content=body, headers=JSON)
    assert time.monotonic() - started < 5, "each stream of this replica stood still meanwhile"
    assert answer.status_code == 400
    assert param in (None, answer.json()["error"]["param"])


HALF = '"\\ud800"'
"""Of a surrogate pair, which JSON can say."""


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/chat"])
def test_text_that_is_no_unicode_is_refused(service: Service, path: str) -> None:
    body = {
        "/v1/chat/completions": f'{{"model": "{MODEL}", "messages": [{{"role": "user", "content": {HALF}}}]}}',
        "/v1/completions": f'{{"model": "{MODEL}", "prompt": [{HALF}]}}',
        "/chat": f'{{"prompt": {HALF}}}',
    }[path]
    answer = service.http.post(path, content=body, headers=JSON)
    assert answer.status_code == 400, answer.text
    assert "unicode" in answer.json()["error"]["message"].lower()


def tool(text: str) -> str:
    return f'{{"type": "function", "function": {{"name": "f", "parameters": {{"description": {text}}}}}}}'


@pytest.mark.parametrize(
    ("path", "member"),
    [
        ("/v1/chat/completions", f'"tools": [{tool(HALF)}]'),
        ("/v1/chat/completions", f'"chat_template_kwargs": {{"enable_thinking": {HALF}}}'),
        ("/v1/responses", f'"tools": [{{"type": "function", "name": "f", "parameters": {{"enum": [{HALF}]}}}}]'),
        ("/v1/responses", f'"metadata": {{"team": {HALF}}}'),
        ("/v1/responses", f'"metadata": {{{HALF}: "team"}}'),
        ("/v1/responses", f'"prompt_cache_key": {HALF}'),
        ("/v1/responses", f'"safety_identifier": {HALF}'),
        ("/v1/responses", f'"user": {HALF}'),
        ("/tokenize", f'"tools": [{tool(HALF)}]'),
    ],
)
def test_what_goes_on_as_it_came_has_to_be_unicode_too(service: Service, path: str, member: str) -> None:
    asked = '"input": "Hi"' if path == "/v1/responses" else '"messages": [{"role": "user", "content": "Hi"}]'
    answer = service.http.post(path, content=f'{{"model": "{MODEL}", {asked}, {member}}}', headers=JSON)
    assert answer.status_code == 400, answer.text
    assert "unicode" in answer.json()["error"]["message"].lower()
    assert service.engine.requests == []


def test_a_chat_template_s_own_refusal_is_passed_on(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = service.tokenizer
    monkeypatch.setattr(tokenizer, "chat_template", "{{ raise_exception('roles must alternate') }}")
    with pytest.raises(BadRequestError, match="roles must alternate") as caught:
        service.openai.chat.completions.create(model=MODEL, messages=HELLO)
    assert (caught.value.code, caught.value.param) == ("invalid_messages", "messages")


def test_a_model_without_a_chat_template_completes_but_does_not_chat(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service.tokenizer, "chat_template", None)
    with pytest.raises(BadRequestError, match="use /v1/completions") as caught:
        service.openai.chat.completions.create(model=MODEL, messages=HELLO)
    assert caught.value.code == "chat_template_missing"
    service.says("!")
    assert service.openai.completions.create(model=MODEL, prompt="Hello").choices[0].text == "!"
