"""A request that takes longer than the service allows is ended, in the engine too, and its caller is told."""

from __future__ import annotations

from typing import Any

import pytest
from openai import APIError, InternalServerError

from tests.serving.api.service import MODEL, Service

CHAT: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}]}


@pytest.fixture
def slow(service: Service) -> Service:
    service.callers.configure((), 0.1)
    service.engine.never_ends(service.tokens(" word")[0])
    return service


def test_a_request_that_takes_too_long_is_ended_and_not_tried_again(slow: Service) -> None:
    patient = slow.openai.with_options(max_retries=3)
    with pytest.raises(InternalServerError, match=r"within 0.1 s.*requestTimeoutSeconds") as timed_out:
        patient.chat.completions.create(**CHAT)
    assert (timed_out.value.status_code, timed_out.value.code) == (504, "request_timeout")
    slow.engine.wait_until_idle()
    assert len(slow.engine.requests) == 1
    assert slow.engine.closed_early == 1


def test_a_stream_that_takes_too_long_ends_with_an_error(slow: Service) -> None:
    stream = slow.openai.chat.completions.create(**CHAT, stream=True)
    assert [next(stream).choices[0].delta.content for _ in range(3)] == ["", " word", " word"]
    with pytest.raises(APIError, match="requestTimeoutSeconds") as timed_out:
        list(stream)
    assert timed_out.value.code == "request_timeout"
    slow.engine.wait_until_idle()


def test_a_request_that_waits_too_long_for_its_first_token_is_ended(slow: Service) -> None:
    slow.engine.seconds_per_step = 60
    for path, body in (("/v1/completions", {"model": MODEL, "prompt": ["a", "b"]}), ("/chat", {"prompt": "a"})):
        assert slow.http.post(path, json=body).json()["error"]["code"] == "request_timeout"
    slow.engine.wait_until_idle()


def test_a_request_in_time_is_answered(service: Service) -> None:
    service.callers.configure((), 60)
    service.says("one")
    assert service.openai.chat.completions.create(**CHAT).choices[0].message.content == "one"
