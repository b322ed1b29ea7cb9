"""Whatever a client sends is answered: as asked for, or with an error that says what to change."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.api.chat.protocol import ChatRequest
from serving.api.chat_completions.protocol import ChatCompletionRequest
from serving.api.completions.protocol import CompletionRequest
from serving.api.detokenize.protocol import DetokenizeRequest
from serving.api.embeddings.protocol import EmbeddingRequest
from serving.api.responses.protocol import ResponseRequest
from serving.api.tokenize.protocol import TokenizeRequest
from tests.serving.api.service import MODEL, Service

ENDPOINTS = {
    "/v1/chat/completions": (ChatCompletionRequest, {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}]}),
    "/v1/completions": (CompletionRequest, {"model": MODEL, "prompt": "Hi"}),
    "/v1/responses": (ResponseRequest, {"model": MODEL, "input": "Hi"}),
    "/v1/embeddings": (EmbeddingRequest, {"model": MODEL, "input": "Hi"}),
    "/tokenize": (TokenizeRequest, {"prompt": "Hi"}),
    "/detokenize": (DetokenizeRequest, {"tokens": [1]}),
    "/chat": (ChatRequest, {"prompt": "Hi"}),
}

# Text of all kinds, halves of characters among it, which JSON can say though no encoding can.
text = st.text(max_size=8)
scalar = st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.integers(), st.floats(), text)
words = st.sampled_from(
    [
        *("role", "content", "type", "text", "user", "include_usage", "stream", "max_new_tokens"),
        *("name", "function", "parameters", "function_call", "function_call_output", "call_id", "arguments", "output"),
    ]
)
anything = st.recursive(
    scalar,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words | text, inner, max_size=4),
    max_leaves=10,
)


@pytest.mark.parametrize("path", ENDPOINTS)
@given(data=st.data())
@settings(
    max_examples=100,
    deadline=None,
    # The one service of all examples keeps nothing of a request but its list of them.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_nothing_that_is_json_is_too_much_for_the_service(service: Service, path: str, data: st.DataObject) -> None:
    model, valid = ENDPOINTS[path]
    names = st.sampled_from(sorted(model.model_fields)) | text
    body: Any = data.draw(st.dictionaries(names, anything, max_size=4).map(lambda changes: {**valid, **changes}))
    answer = service.http.post(path, content=json.dumps(body), headers={"content-type": "application/json"})
    if answer.status_code == 200:
        return
    assert answer.status_code in (400, 404), answer.text
    assert answer.json().keys() == {"error"}
    error = answer.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["message"]
    assert error["type"] == "invalid_request_error"
    assert isinstance(error["code"], str)
    assert error["param"] is None or isinstance(error["param"], str)


@given(path=st.binary(max_size=12), method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"]))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_path_is_too_much_for_the_service(service: Service, path: bytes, method: str) -> None:
    answer = service.http.request(method, f"/v1/{quote(path)}")
    assert answer.status_code in (200, 307, 404, 405), answer.text
    if answer.status_code in (404, 405) and method != "HEAD":
        assert isinstance(answer.json()["error"]["code"], str)
