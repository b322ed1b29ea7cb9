"""Usage tells how much of a prompt the engine still had."""

from __future__ import annotations

from typing import Any

import pytest

from serving.engines.protocol import TokenChunk
from tests.serving.api.service import MODEL, Service

HELLO = [{"role": "user", "content": "Hello"}]


@pytest.fixture
def reusing(service: Service) -> Service:
    token = service.tokens("Hi")[0]
    service.engine.script = lambda _: [
        TokenChunk((token,), reused_prompt_tokens=5),
        TokenChunk((token,)),
        TokenChunk((), "stop"),
    ]
    return service


@pytest.mark.parametrize(
    ("path", "asked"),
    [("chat/completions", {"messages": HELLO}), ("completions", {"prompt": "Hello there, all of you"})],
    ids=["chat", "completions"],
)
def test_completions_tell_it(reusing: Service, path: str, asked: dict[str, Any]) -> None:
    body = {"model": MODEL, "n": 2, **asked}
    usage = reusing.http.post(f"/v1/{path}", json=body).json()["usage"]
    assert usage["prompt_tokens_details"]["cached_tokens"] == 5
    streamed = {**body, "stream": True, "stream_options": {"include_usage": True}}
    assert '"cached_tokens":5' in reusing.http.post(f"/v1/{path}", json=streamed).text


def test_responses_tell_it(reusing: Service) -> None:
    usage = reusing.openai.responses.create(model=MODEL, input="Hello").usage
    assert usage is not None
    assert usage.input_tokens_details.cached_tokens == 5
