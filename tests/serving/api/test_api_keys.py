"""API keys as the real OpenAI client meets them: who comes in, to which model, how often, and what is counted."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from openai import AuthenticationError, OpenAI, PermissionDeniedError, RateLimitError

from presets.serve_config import ApiKey
from serving.engines.protocol import EngineOverloaded, GenerationRequest, TokenChunk
from tests.serving.api.service import MODEL, Service
from tests.serving.api.test_status import samples

ALICE, BOB, ADMIN = "alice-0123456789abcdef", "bob-0123456789abcdefgh", "admin-0123456789abcdef"
CHAT: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}]}
PROMPT_TOKENS = 31


def key(name: str, secret: str, **settings: Any) -> ApiKey:
    return ApiKey(name=name, sha256=hashlib.sha256(secret.encode()).hexdigest(), **settings)


@pytest.fixture
def keys(service: Service) -> Callable[..., None]:
    """Configures the service's keys, as a change of the stack does."""

    def configure(*configured: ApiKey) -> None:
        service.callers.configure(configured, None)

    return configure


@contextmanager
def client(service: Service, secret: str, retries: int = 0) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{service.url}/v1", api_key=secret, max_retries=retries, timeout=10) as openai:
        yield openai


def test_without_keys_any_text_is_a_key(service: Service) -> None:
    service.says("one")
    assert service.openai.chat.completions.create(**CHAT).choices[0].message.content == "one"


def test_a_right_key_is_let_in_and_the_engine_learns_whose_it_is(service: Service, keys: Callable[..., None]) -> None:
    keys(key("alice", ALICE), key("bob", BOB))
    service.says("one")
    with client(service, ALICE) as alice, client(service, BOB) as bob:
        assert alice.chat.completions.create(**CHAT).choices[0].message.content == "one"
        assert bob.completions.create(model=MODEL, prompt="Hello").choices[0].text == "one"
        assert [model.id for model in alice.models.list()] == [MODEL]
    assert [request.client for request in service.engine.requests] == ["alice", "bob"]


def test_a_wrong_key_is_refused_as_openai_does(service: Service, keys: Callable[..., None]) -> None:
    keys(key("alice", ALICE))
    with client(service, ALICE + "x") as stranger, pytest.raises(AuthenticationError) as refused:
        stranger.chat.completions.create(**CHAT)
    assert refused.value.code == "invalid_api_key"
    assert refused.value.type == "invalid_request_error"
    assert not service.engine.requests
    assert ALICE not in str(refused.value)


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": f"Basic {ALICE}"}, {"Authorization": "Bearer"}, {"Authorization": ALICE}],
    ids=["none", "another scheme", "an empty one", "no scheme"],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/v1/chat/completions"), ("GET", "/v1/models"), ("GET", "/v1/usage"), ("POST", "/chat"), ("GET", "/x")],
)
def test_without_a_key_nothing_is_answered(
    service: Service, keys: Callable[..., None], method: str, path: str, headers: dict[str, str]
) -> None:
    keys(key("alice", ALICE))
    answer = service.http.request(method, path, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["error"]["code"] == "invalid_api_key"


@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics", "/version", "/docs", "/openapi.json"])
def test_what_tells_nothing_of_answers_needs_no_key(service: Service, keys: Callable[..., None], path: str) -> None:
    keys(key("alice", ALICE))
    assert service.http.get(path).status_code == 200


def test_the_page_of_the_documentation_can_be_given_a_key(service: Service) -> None:
    (scheme,) = service.http.get("/openapi.json").json()["components"]["securitySchemes"].values()
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")


def test_the_smoke_prompt_is_answered_without_a_key(service: Service, keys: Callable[..., None]) -> None:
    keys(key("alice", ALICE))
    tokens = service.says(" Paris", finish_reason="length")
    answer = service.http.post("/smoke")
    assert answer.status_code == 200
    assert answer.json()["text"] == " Paris"
    assert answer.json()["usage"]["completion_tokens"] == len(tokens)
    assert service.engine.requests[0].max_tokens == 4, "anybody may ask, so it must cost next to nothing"


def test_a_measured_smoke_prompt_tells_how_fast_the_model_is(service: Service) -> None:
    service.says(" Paris and more", finish_reason="length")
    answer = service.http.post("/smoke", params={"measure": "true"}).json()
    assert service.engine.requests[0].max_tokens == 64
    assert 0 < answer["first_token_seconds"] <= answer["seconds"]
    assert answer["usage"]["completion_tokens"] > 0


def test_smoke_prompts_at_the_same_time_are_one(service: Service) -> None:
    service.says(" Paris", finish_reason="length")
    go_on = hold(service)
    with ThreadPoolExecutor(8) as threads:
        asked = [threads.submit(service.http.post, "/smoke") for _ in range(8)]
        with pytest.raises(httpx.ReadTimeout):
            service.http.post("/smoke", timeout=0.3)
        go_on.set()
        assert {answer.result().json()["text"] for answer in asked} == {" Paris"}
    assert len(service.engine.requests) == 1
    assert service.http.post("/smoke").status_code == 200
    assert len(service.engine.requests) == 2, "an answer of before proves nothing"


def hold(service: Service) -> threading.Event:
    """Have the engine wait with its answers until this is set."""
    go_on, answers = threading.Event(), service.engine.script

    def script(request: GenerationRequest) -> Iterator[TokenChunk | Exception]:
        while not go_on.is_set():
            yield TokenChunk(())
        yield from answers(request)

    service.engine.script, service.engine.seconds_per_step = script, 0.01
    return go_on


def test_a_smoke_prompt_that_nobody_waits_for_any_more_is_ended(service: Service) -> None:
    hold(service)
    with pytest.raises(httpx.ReadTimeout):
        service.http.post("/smoke", timeout=0.3)
    service.engine.wait_until_idle()
    assert len(service.engine.requests) == 1


def test_a_key_for_other_models_is_refused_and_they_are_named(service: Service, keys: Callable[..., None]) -> None:
    keys(key("alice", ALICE, models=("code",)), key("bob", BOB, models=("code", MODEL)))
    service.says("one")
    with client(service, ALICE) as alice, pytest.raises(PermissionDeniedError, match="it is for: code") as refused:
        alice.chat.completions.create(**CHAT)
    assert (refused.value.code, refused.value.param) == ("model_not_allowed", "model")
    with client(service, ALICE) as alice:
        assert list(alice.models.list()) == []
    assert service.http.post("/chat", json={"prompt": "Hi"}, headers=bearer(ALICE)).status_code == 403
    with client(service, BOB) as bob:
        assert bob.chat.completions.create(**CHAT).choices[0].message.content == "one"


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def test_requests_beyond_the_limit_get_429_with_openai_s_headers(service: Service, keys: Callable[..., None]) -> None:
    keys(key("alice", ALICE, requests_per_minute=2), key("bob", BOB))
    service.says("one")

    def ask() -> Any:
        return service.http.post("/v1/chat/completions", json=CHAT, headers=bearer(ALICE))

    first = ask()
    assert first.headers["x-ratelimit-limit-requests"] == "2"
    assert first.headers["x-ratelimit-remaining-requests"] == "1"
    assert first.headers["x-ratelimit-reset-requests"] == "30s"
    assert "x-ratelimit-limit-tokens" not in first.headers
    assert ask().status_code == 200
    third = ask()
    assert third.status_code == 429
    assert third.headers["retry-after"] == "30"
    assert third.headers["x-ratelimit-remaining-requests"] == "0"
    assert third.json()["error"]["code"] == "rate_limit_exceeded"
    assert third.json()["error"]["type"] == "requests"
    assert "alice" in third.json()["error"]["message"]
    assert service.http.get("/v1/models", headers=bearer(ALICE)).status_code == 200, "to look costs nothing"
    with client(service, BOB) as bob:
        bob.chat.completions.create(**CHAT)
    service.clock.now += 30
    assert ask().status_code == 200
    assert samples(service)["modelyard_key_limited_total", "alice", "requests"] == 1


def test_the_openai_client_waits_and_tries_again_by_itself(service: Service, keys: Callable[..., None]) -> None:
    keys(key("alice", ALICE, requests_per_minute=60))
    service.says("one")
    with client(service, ALICE) as alice:
        for _ in range(60):
            alice.chat.completions.create(**CHAT)
        with pytest.raises(RateLimitError) as refused:
            alice.chat.completions.create(**CHAT)
    assert refused.value.response.headers["retry-after"] == "1"
    refusals = 0

    def a_second_later(_: object = None) -> None:
        nonlocal refusals
        refusals += 1
        service.clock.now += 1

    with client(service, ALICE, retries=1) as patient:
        patient._client.event_hooks["response"] = [  # pyright: ignore[reportPrivateUsage]
            lambda answer: a_second_later() if answer.status_code == 429 else None
        ]
        assert patient.chat.completions.create(**CHAT).choices[0].message.content == "one"
    assert refusals == 1


def test_a_completion_is_never_cut_but_its_tokens_are_missing_from_the_next_one(
    service: Service, keys: Callable[..., None]
) -> None:
    keys(key("alice", ALICE, tokens_per_minute=60))
    service.engine.says(*[service.tokens(" word")] * 60)
    with client(service, ALICE) as alice:
        answer = alice.chat.completions.with_raw_response.create(**CHAT)
        usage = answer.parse().usage
        assert usage
        assert (usage.prompt_tokens, usage.completion_tokens) == (PROMPT_TOKENS, 60)
        with pytest.raises(RateLimitError) as refused:
            alice.chat.completions.create(**CHAT)
        assert (refused.value.type, refused.value.response.headers["x-ratelimit-remaining-tokens"]) == ("tokens", "0")
        debt = PROMPT_TOKENS + 60 - 60
        assert refused.value.response.headers["retry-after"] == str(debt + PROMPT_TOKENS)
        service.clock.now += debt + PROMPT_TOKENS
        alice.chat.completions.create(**CHAT)
    assert len(service.engine.requests) == 2, "what is refused must not reach the engine"


def test_the_prompt_of_several_choices_is_counted_once(service: Service, keys: Callable[..., None]) -> None:
    keys(key("alice", ALICE))
    tokens = service.says("Hi there")
    with client(service, ALICE) as alice:
        answer = alice.chat.completions.create(**CHAT, n=3)
        assert answer.usage
    (line,) = service.http.get("/v1/usage", headers=bearer(ALICE)).json()["data"]
    assert (line["requests"], line["prompt_tokens"]) == (1, PROMPT_TOKENS)
    assert line["total_tokens"] == answer.usage.total_tokens == PROMPT_TOKENS + 3 * len(tokens)


def test_a_request_that_the_engine_turns_away_costs_no_tokens(service: Service, keys: Callable[..., None]) -> None:
    keys(key("alice", ALICE, tokens_per_minute=100))
    service.engine.says(then=EngineOverloaded("full"))
    answer = service.http.post("/v1/chat/completions", json=CHAT, headers=bearer(ALICE))
    assert answer.json()["error"]["code"] == "engine_overloaded"
    answer = service.http.get("/v1/models", headers=bearer(ALICE))
    assert answer.headers["x-ratelimit-remaining-tokens"] == "100"


def test_a_stream_counts_as_running_until_its_end(service: Service, keys: Callable[..., None]) -> None:
    keys(key("alice", ALICE, concurrent_requests=1), key("bob", BOB))
    service.engine.never_ends(service.tokens(" word")[0])
    with client(service, ALICE) as alice, alice.chat.completions.create(**CHAT, stream=True) as stream:
        next(stream)
        with pytest.raises(RateLimitError) as refused:
            alice.chat.completions.create(**CHAT)
        assert refused.value.type == "concurrent_requests"
        assert refused.value.response.headers["retry-after"] == "1"
        with client(service, BOB) as bob, bob.chat.completions.create(**CHAT, stream=True) as other:
            next(other)
    service.engine.wait_until_idle()
    service.says("one")
    with client(service, ALICE, retries=2) as alice:
        alice.chat.completions.create(**CHAT)


def test_usage_is_told_to_whom_it_concerns(service: Service, keys: Callable[..., None]) -> None:
    keys(key("alice", ALICE), key("bob", BOB), key("root", ADMIN, admin=True))
    tokens = service.says("one two three")
    with client(service, ALICE) as alice, client(service, BOB) as bob:
        alice.chat.completions.create(**CHAT)
        alice.completions.create(model=MODEL, prompt=["a", "b"])
        for _ in bob.chat.completions.create(**CHAT, stream=True):
            pass

    def usage(secret: str) -> dict[str, Any]:
        answer = service.http.get("/v1/usage", headers=bearer(secret)).json()
        assert answer["since"] == service.callers.since
        return {line["key"]: line for line in answer["data"]}

    own = usage(ALICE)
    assert own.keys() == {"alice"}
    assert own["alice"] == {
        "key": "alice",
        "model": MODEL,
        "requests": 2,
        "prompt_tokens": PROMPT_TOKENS + 2,
        "completion_tokens": 3 * len(tokens),
        "total_tokens": PROMPT_TOKENS + 2 + 3 * len(tokens),
    }
    assert usage(ADMIN).keys() == {"alice", "bob"}
    now = samples(service)
    assert now["modelyard_key_requests_total", "alice", MODEL] == 2
    assert now["modelyard_key_prompt_tokens_total", "bob", MODEL] == PROMPT_TOKENS
    assert now["modelyard_key_generation_tokens_total", "alice", MODEL] == 3 * len(tokens)


def test_a_key_that_goes_or_comes_counts_from_the_next_request(service: Service, keys: Callable[..., None]) -> None:
    service.says("one")
    keys(key("alice", ALICE, requests_per_minute=1), key("bob", BOB))
    with client(service, ALICE) as alice, client(service, BOB) as bob:
        alice.chat.completions.create(**CHAT)
        keys(key("alice renamed", ALICE, requests_per_minute=1))
        with pytest.raises(RateLimitError):
            alice.chat.completions.create(**CHAT)
        with pytest.raises(AuthenticationError):
            bob.chat.completions.create(**CHAT)
        keys(key("alice", ALICE, requests_per_minute=2))
        alice.chat.completions.create(**CHAT)


@pytest.mark.parametrize("stream", [False, True])
def test_no_key_is_in_metrics_usage_or_errors(service: Service, keys: Callable[..., None], stream: bool) -> None:
    keys(key("alice", ALICE, requests_per_minute=1, admin=True))
    told = [
        service.http.post("/v1/chat/completions", json={**CHAT, "stream": stream}, headers=bearer(ALICE)).text
        for _ in range(2)
    ]
    told += [service.http.get(path, headers=bearer(ALICE)).text for path in ("/metrics", "/v1/usage", "/version")]
    assert not [text for text in told if ALICE in text or key("", ALICE).sha256 in text]
