"""Responses are kept for a while: to be gone on from, asked for, cancelled and deleted, and made in the background."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from openai import BadRequestError, NotFoundError, OpenAI, RateLimitError
from openai.types.responses import Response

from presets.serve_config import ApiKey
from serving.api.responses.resource import Response as Answer
from serving.api.responses.store import ResponseStore, StoredResponse
from serving.engines.protocol import EngineOverloaded
from tests.serving.api.service import MODEL, Service

ENDED = {"completed", "incomplete", "failed", "cancelled"}


def create(service: Service, **changes: Any) -> Response:
    return service.openai.responses.create(**{"model": MODEL, "input": "Hello", **changes})


def strictly(response: Response) -> Response:
    """The response, after its JSON was held to OpenAI's types once more: the client itself takes anything."""
    return Response.model_validate_json(response.to_json(), strict=True)


def wait_for_end(service: Service, response_id: str) -> Response:
    deadline = time.monotonic() + 5
    while (response := service.openai.responses.retrieve(response_id)).status not in ENDED:
        assert time.monotonic() < deadline, f"still {response.status}"
        time.sleep(0.01)
    return response


def chat_prompt(service: Service, messages: list[Any]) -> str:
    """What the engine is asked for a conversation on /v1/chat/completions."""
    service.openai.chat.completions.create(model=MODEL, messages=messages)
    return service.prompt_of()


def test_a_response_goes_on_from_another(service: Service) -> None:
    service.says("Hi Alice")
    first = create(service, input="I am Alice.", instructions="Be brief.")
    service.says("Alice")
    second = create(service, input="Who am I?", previous_response_id=first.id)
    assert second.previous_response_id == first.id
    prompt = service.prompt_of()
    assert prompt == chat_prompt(
        service,
        [
            {"role": "user", "content": "I am Alice."},
            {"role": "assistant", "content": "Hi Alice"},
            {"role": "user", "content": "Who am I?"},
        ],
    ), "instructions are of one response only"
    service.says("I said so.")
    create(service, input="Sure?", previous_response_id=second.id)
    assert service.prompt_of().count("<|im_start|>user") == 3


def test_a_streamed_response_can_be_gone_on_from(service: Service) -> None:
    service.says("Hi")
    with service.openai.responses.create(model=MODEL, input="Hello", stream=True) as events:
        last = list(events)[-1]
    assert last.type == "response.completed"
    create(service, input="And now?", previous_response_id=last.response.id)
    assert "assistant\nHi<|im_end|>" in service.prompt_of()


def test_a_stored_response_is_the_one_that_was_answered_until_it_is_deleted(service: Service) -> None:
    service.says("Hi")
    response = create(service)
    assert service.openai.responses.retrieve(response.id) == response
    deleted = service.http.delete(f"/v1/responses/{response.id}")
    assert deleted.json() == {"id": response.id, "object": "response", "deleted": True}
    with pytest.raises(NotFoundError, match="was deleted") as caught:
        service.openai.responses.retrieve(response.id)
    assert (caught.value.param, caught.value.code) == ("response_id", "response_not_found")
    with pytest.raises(NotFoundError):
        service.openai.responses.delete(response.id)


def test_a_response_that_is_not_to_be_stored_is_not(service: Service) -> None:
    response = create(service, store=False)
    assert response.model_extra is not None
    assert response.model_extra["store"] is False
    with pytest.raises(NotFoundError):
        service.openai.responses.retrieve(response.id)


def test_going_on_from_an_unknown_response_says_where_responses_are_kept(service: Service) -> None:
    with pytest.raises(BadRequestError, match="another replica") as caught:
        create(service, previous_response_id="resp_of_another_replica")
    assert (caught.value.param, caught.value.code) == ("previous_response_id", "previous_response_not_found")
    assert service.engine.requests == []


def test_a_response_is_made_in_the_background(service: Service) -> None:
    service.engine.seconds_per_step = 0.05
    service.says("Hello there")
    response = strictly(create(service, background=True))
    assert (response.status, response.output, response.usage) == ("queued", [], None)
    seen = {response.status}
    while response.status not in ENDED:
        seen.add(response.status)
        response = service.openai.responses.retrieve(response.id)
    assert "in_progress" in seen
    assert (strictly(response).status, response.output_text) == ("completed", "Hello there")
    create(service, previous_response_id=response.id)
    assert "assistant\nHello there" in service.prompt_of()


def test_a_background_response_that_fails_says_why(service: Service) -> None:
    service.says("", then=EngineOverloaded("too many requests wait"))
    response = wait_for_end(service, create(service, background=True).id)
    assert response.status == "failed"
    assert response.error is not None
    assert (response.error.code, response.error.message) == ("rate_limit_exceeded", "too many requests wait")


def test_cancelling_a_background_response_ends_its_compute(service: Service) -> None:
    service.engine.never_ends(service.tokens(" word")[0])
    response = create(service, background=True)
    assert service.openai.responses.cancel(response.id).status == "cancelled"
    service.engine.wait_until_idle()
    assert service.openai.responses.retrieve(response.id).status == "cancelled"
    assert service.openai.responses.cancel(response.id).status == "cancelled", "cancelling twice is no mistake"
    with pytest.raises(BadRequestError, match="is cancelled"):
        create(service, previous_response_id=response.id)


def test_deleting_a_background_response_ends_its_compute(service: Service) -> None:
    service.engine.never_ends(service.tokens(" word")[0])
    response = create(service, background=True)
    service.openai.responses.delete(response.id)
    service.engine.wait_until_idle()
    with pytest.raises(NotFoundError):
        service.openai.responses.retrieve(response.id)


def test_a_background_response_that_has_ended_is_not_cancelled(service: Service) -> None:
    service.says("Hi")
    response = wait_for_end(service, create(service, background=True).id)
    assert service.openai.responses.cancel(response.id) == response


def test_a_response_that_is_being_made_cannot_be_gone_on_from(service: Service) -> None:
    service.engine.never_ends(service.tokens(" word")[0])
    response = create(service, background=True)
    with pytest.raises(BadRequestError, match="only one that is completed or incomplete"):
        create(service, previous_response_id=response.id)
    service.openai.responses.cancel(response.id)


def test_only_background_responses_can_be_cancelled(service: Service) -> None:
    response = create(service)
    with pytest.raises(BadRequestError, match="background") as caught:
        service.openai.responses.cancel(response.id)
    assert (caught.value.param, caught.value.code) == ("response_id", "invalid_value")
    with pytest.raises(NotFoundError):
        service.openai.responses.cancel("resp_unknown")


def stored(response_id: str, text: str = "") -> StoredResponse:
    answer = {
        "id": response_id,
        "created_at": 0,
        "status": "completed",
        "background": False,
        "instructions": text,
        "max_output_tokens": None,
        "max_tool_calls": None,
        "metadata": {},
        "model": MODEL,
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "prompt_cache_key": None,
        "safety_identifier": None,
        "store": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "top_logprobs": 0,
        "frequency_penalty": 0.0,
        "presence_penalty": 0.0,
        "top_p": 1.0,
        "user": None,
    }
    return StoredResponse(Answer.model_validate(answer), ({"role": "user", "content": text},))


def test_the_oldest_responses_make_room_for_new_ones() -> None:
    store = ResponseStore(max_responses=2)
    for name in "abc":
        store.put(("", name), stored(name))
    assert [store.get(("", name)) is not None for name in "abc"] == [False, True, True]


def test_the_memory_of_stored_responses_is_bounded() -> None:
    store = ResponseStore(max_bytes=50_000)
    store.put(("", "small"), stored("small"))
    store.put(("", "large"), stored("large", "x" * 20_000))
    store.put(("", "larger than all the room"), stored("larger than all the room", "x" * 50_000))
    assert [store.get(("", name)) is not None for name in ("small", "large", "larger than all the room")] == [
        True,
        True,
        False,
    ]
    store.put(("", "next"), stored("next", "x" * 10_000))
    assert [store.get(("", name)) is not None for name in ("small", "large", "next")] == [False, False, True]


@pytest.mark.parametrize(("query", "code"), [("stream=true", "unsupported_parameter"), ("a=b", "unknown_parameter")])
def test_a_stored_response_is_not_streamed(service: Service, query: str, code: str) -> None:
    response = create(service)
    error = service.http.get(f"/v1/responses/{response.id}?{query}").json()["error"]
    assert (error["param"], error["code"]) == (query.partition("=")[0], code)
    assert service.http.get(f"/v1/responses/{response.id}?stream=false").status_code == 200


def test_a_key_s_responses_are_its_own(service: Service) -> None:
    service.callers.configure((api_key("alice"), api_key("bob")), None)
    service.engine.never_ends(service.tokens(" word")[0])
    with client_of(service, "alice") as alice, client_of(service, "bob") as bob:
        background = alice.responses.create(model=MODEL, input="Hello", background=True)
        service.says("Hi")
        response = alice.responses.create(model=MODEL, input="Hello")
        for response_id in (background.id, response.id):
            for attempt in (bob.responses.retrieve, bob.responses.cancel, bob.responses.delete):
                with pytest.raises(NotFoundError):
                    attempt(response_id)
            assert alice.responses.retrieve(response_id).id == response_id
        with pytest.raises(BadRequestError) as caught:
            bob.responses.create(model=MODEL, input="What was said?", previous_response_id=response.id)
        assert caught.value.code == "previous_response_not_found"
        assert alice.responses.cancel(background.id).status == "cancelled"


def test_what_is_made_in_the_background_counts_as_one_request_at_the_same_time(service: Service) -> None:
    service.callers.configure((api_key("alice", concurrent_requests=1),), None)
    service.engine.never_ends(service.tokens(" word")[0])
    with client_of(service, "alice") as alice:
        response = alice.responses.create(model=MODEL, input="Hello", background=True)
        with pytest.raises(RateLimitError, match="1 of 1 at once"):
            alice.responses.create(model=MODEL, input="Hello")
        alice.responses.cancel(response.id)
        service.says("Hi")
        assert alice.responses.create(model=MODEL, input="Hello").output_text == "Hi"


def test_the_service_s_limit_of_time_holds_in_the_background(service: Service) -> None:
    service.callers.configure((), 0.1)
    service.engine.never_ends(service.tokens(" word")[0])
    response = wait_for_end(service, create(service, background=True).id)
    assert response.status == "failed"
    assert response.error is not None
    assert "requestTimeoutSeconds" in response.error.message
    service.engine.wait_until_idle()


def api_key(name: str, **settings: Any) -> ApiKey:
    return ApiKey(name=name, sha256=hashlib.sha256(name.encode()).hexdigest(), **settings)


@contextmanager
def client_of(service: Service, secret: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{service.url}/v1", api_key=secret, max_retries=0, timeout=10) as openai:
        yield openai
