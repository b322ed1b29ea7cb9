"""A model that generates text makes no embeddings, and says so."""

from __future__ import annotations

from typing import Any

import pytest
from openai import BadRequestError

from tests.serving.api.service import MODEL, Service


@pytest.mark.parametrize("texts", ["Hello", ["Hello", "world"], [1, 2], [[1], [2, 3]]], ids=str)
def test_openai_s_client_learns_why_there_are_none(service: Service, texts: Any) -> None:
    with pytest.raises(BadRequestError, match="no embedding model") as caught:
        service.openai.embeddings.create(model=MODEL, input=texts)
    assert (caught.value.param, caught.value.code) == ("model", "model_not_supported")
    assert caught.value.type == "invalid_request_error"


@pytest.mark.parametrize(
    ("change", "status", "param", "code"),
    [
        ({"model": "text-embedding-3-small"}, 404, "model", "model_not_found"),
        ({"input": None}, 400, "input", "invalid_type"),
        ({"dimensions": 0}, 400, "dimensions", "invalid_value"),
        ({"encoding_format": "hex"}, 400, "encoding_format", "invalid_value"),
        ({"colour": "red"}, 400, "colour", "unknown_parameter"),
    ],
    ids=str,
)
def test_a_request_is_checked_before(
    service: Service, change: dict[str, Any], status: int, param: str, code: str
) -> None:
    answer = service.http.post("/v1/embeddings", json={"model": MODEL, "input": "Hello", **change})
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["code"]) == (status, param, code)
