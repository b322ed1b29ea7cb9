"""What the service does not do is said, with the parameter's name, and never dropped in silence."""

from __future__ import annotations

from typing import Any

import pytest
from openai import BadRequestError

from tests.serving.api.service import MODEL, Service

CHAT: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}]}
COMPLETION: dict[str, Any] = {"model": MODEL, "prompt": "Hello"}


def error_of(service: Service, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = service.http.post(path, json=body)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    assert isinstance(error["code"], str)
    assert service.engine.requests == [], "a refused request reached the engine"
    return error


@pytest.mark.parametrize(
    ("param", "value"),
    [
        ("audio", {"voice": "alloy", "format": "mp3"}),
        ("function_call", {"name": "look_up"}),
        ("functions", [{"name": "look_up"}]),
        ("modalities", ["text", "audio"]),
        ("moderation", {"model": "omni-moderation-latest"}),
        ("prediction", {"type": "content", "content": "Hello"}),
        ("reasoning_effort", "high"),
        ("service_tier", "priority"),
        ("store", True),
        ("verbosity", "low"),
        ("web_search_options", {}),
    ],
    ids=str,
)
def test_a_parameter_of_openai_that_is_not_supported_is_refused_by_name(
    service: Service, param: str, value: Any
) -> None:
    error = error_of(service, "/v1/chat/completions", {**CHAT, param: value})
    assert (error["param"], error["code"]) == (param, "unsupported_parameter")
    assert param in error["message"]


@pytest.mark.parametrize(
    ("param", "value"),
    [
        ("best_of", 3),
        ("suffix", "the end"),
    ],
    ids=str,
)
def test_a_parameter_of_completions_that_is_not_supported_is_refused_by_name(
    service: Service, param: str, value: Any
) -> None:
    error = error_of(service, "/v1/completions", {**COMPLETION, param: value})
    assert (error["param"], error["code"]) == (param, "unsupported_parameter")


NEUTRAL: dict[str, Any] = {
    "frequency_penalty": 0,
    "function_call": "none",
    "functions": [],
    "logit_bias": {},
    "logprobs": False,
    "metadata": {"team": "research"},
    "modalities": ["text"],
    "n": 1,
    "parallel_tool_calls": True,
    "presence_penalty": 0.0,
    "prompt_cache_key": "a",
    "prompt_cache_retention": "24h",
    "reasoning_effort": "none",
    "response_format": {"type": "text"},
    "safety_identifier": "b",
    "service_tier": "auto",
    "store": False,
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "user": "c",
    "verbosity": "medium",
}


def test_values_that_ask_for_nothing_are_accepted(service: Service) -> None:
    service.says("Hi")
    answer = service.http.post("/v1/chat/completions", json={**CHAT, **NEUTRAL})
    assert answer.status_code == 200, answer.text


def test_null_is_the_same_as_leaving_a_parameter_out(service: Service) -> None:
    service.says("Hi")
    optional = [
        *NEUTRAL,
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "repetition_penalty",
        "min_tokens",
        "seed",
        "stop",
        "stream",
        "stream_options",
        "max_tokens",
    ]
    answer = service.http.post("/v1/chat/completions", json={**CHAT, **dict.fromkeys(optional)})
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/chat"])
def test_an_unknown_parameter_is_refused_by_name(service: Service, path: str) -> None:
    body = {"/chat": {"prompt": "Hello"}, "/v1/completions": COMPLETION}.get(path, CHAT)
    error = error_of(service, path, {**body, "temprature": 0})
    assert (error["param"], error["code"]) == ("temprature", "unknown_parameter")
    assert "temprature" in error["message"]


@pytest.mark.parametrize(
    ("param", "value", "code", "says"),
    [
        ("temperature", 3, "invalid_value", "less than or equal to 2"),
        ("temperature", "0.5", "invalid_type", 'found "0.5"'),
        ("top_p", -0.1, "invalid_value", "greater than or equal to 0"),
        ("top_k", 1.5, "invalid_type", "integer"),
        ("max_tokens", 0, "invalid_value", "greater than or equal to 1"),
        ("max_completion_tokens", True, "invalid_type", "integer"),
        ("seed", 2**63, "invalid_value", "less than"),
        ("stop", ["a", "b", "c", "d", "e"], "invalid_value", "at most 4"),
        ("stop", "", "invalid_value", "at least 1"),
        ("stream", "yes", "invalid_type", "boolean"),
        ("stream_options", {"include_usage": True}, "invalid_value", '"stream": true'),
        ("messages", [], "invalid_value", "at least 1"),
        ("messages", "Hello", "invalid_type", "list"),
        ("model", 5, "invalid_type", "string"),
        ("metadata", {"a": 1}, "invalid_type", "string"),
        ("frequency_penalty", 2.1, "invalid_value", "less than or equal to 2"),
        ("presence_penalty", -2.1, "invalid_value", "greater than or equal to -2"),
        ("repetition_penalty", 0, "invalid_value", "greater than or equal to 0.01"),
        ("min_p", 1.1, "invalid_value", "less than or equal to 1"),
        ("n", 0, "invalid_value", "greater than or equal to 1"),
        ("n", 129, "invalid_value", "less than or equal to 128"),
        ("n", True, "invalid_type", "integer"),
        ("logprobs", 5, "invalid_type", "boolean"),
        ("top_logprobs", 5, "invalid_value", '"logprobs": true'),
        ("top_logprobs", 21, "invalid_value", "less than or equal to 20"),
        ("min_tokens", -1, "invalid_value", "greater than or equal to 0"),
        ("min_tokens", 500, "invalid_value", "at most"),
        ("stop_token_ids", [-1], "invalid_value", "greater than or equal to 0"),
        ("stop_token_ids", [49152], "invalid_value", "below 49152"),
        ("stop_token_ids", [1] * 1025, "invalid_value", "at most 1024"),
        ("logit_bias", {"49152": 1}, "invalid_value", "token 49152, but this model's tokens are below 49152"),
        ("logit_bias", {"Paris": 1}, "invalid_value", 'token ids, found "Paris"'),
        ("logit_bias", {"-1": 1}, "invalid_value", "token ids"),
        ("logit_bias", {"²": 1}, "invalid_value", "token ids"),
        ("logit_bias", {"5": 101}, "invalid_value", "-100 to 100"),
        ("logit_bias", {"5": "1"}, "invalid_value", "-100 to 100"),
        ("logit_bias", {"5": True}, "invalid_value", "-100 to 100"),
        ("logit_bias", {str(token): 1 for token in range(1025)}, "invalid_value", "1025 tokens, but may have 1024"),
        ("logit_bias", [5], "invalid_type", "dictionary"),
    ],
    ids=str,
)
def test_a_value_out_of_bounds_is_refused_with_the_bound(
    service: Service, param: str, value: Any, code: str, says: str
) -> None:
    error = error_of(service, "/v1/chat/completions", {**CHAT, param: value})
    assert error["param"].startswith(param)
    assert error["code"] == code
    assert says in error["message"]


@pytest.mark.parametrize(
    ("message", "param", "code"),
    [
        ({"role": "function", "content": "42", "name": "f"}, "messages[0]", "unsupported_value"),
        ({"role": "tool", "content": "42", "tool_call_id": "1"}, "messages", "invalid_value"),
        ({"role": "wizard", "content": "42"}, "messages[0].role", "invalid_value"),
        ({"role": "user"}, "messages[0].content", "missing_required_parameter"),
        ({"role": "user", "content": None}, "messages[0].content", "invalid_type"),
        (
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]},
            "messages[0].content[0]",
            "unsupported_value",
        ),
        ({"role": "user", "content": [{"type": "text"}]}, "messages[0].content[0].text", "missing_required_parameter"),
        (
            {"role": "assistant", "content": "", "tool_calls": [{"id": "1", "type": "function"}]},
            "messages[0].tool_calls[0].function",
            "missing_required_parameter",
        ),
        ({"role": "user", "content": "Hi", "mood": "good"}, "messages[0].mood", "unknown_parameter"),
    ],
    ids=str,
)
def test_a_message_that_cannot_be_read_is_refused_with_its_path(
    service: Service, message: dict[str, Any], param: str, code: str
) -> None:
    error = error_of(service, "/v1/chat/completions", {**CHAT, "messages": [message]})
    assert (error["param"], error["code"]) == (param, code)


@pytest.mark.parametrize(
    ("parameters", "param", "code", "says"),
    [
        ({"logprobs": 6}, "logprobs", "invalid_value", "less than or equal to 5"),
        ({"logprobs": True}, "logprobs", "invalid_type", "integer"),
        ({"logprobs": 1, "echo": True}, "logprobs", "unsupported_parameter", "echo"),
        ({"n": 65, "prompt": ["a", "b"]}, "n", "invalid_value", "2 prompts with 65 choices each"),
        ({"min_tokens": 17}, "min_tokens", "invalid_value", "16 tokens at most"),
        ({"min_tokens": 6, "max_tokens": 5}, "min_tokens", "invalid_value", "5 tokens at most"),
        ({"logit_bias": {"99999": 1}}, "logit_bias", "invalid_value", "below 49152"),
    ],
    ids=str,
)
def test_what_completions_do_not_take_is_refused(
    service: Service, parameters: dict[str, Any], param: str, code: str, says: str
) -> None:
    error = error_of(service, "/v1/completions", {**COMPLETION, **parameters})
    assert (error["param"], error["code"]) == (param, code)
    assert says in error["message"]


def test_two_different_limits_are_refused(service: Service) -> None:
    error = error_of(service, "/v1/chat/completions", {**CHAT, "max_tokens": 5, "max_completion_tokens": 6})
    assert error["param"] == "max_tokens"


def test_all_problems_of_a_request_are_told_at_once(service: Service) -> None:
    error = error_of(
        service, "/v1/chat/completions", {"model": MODEL, "temperature": 9, "store": True, "colour": "red"}
    )
    for name in ("messages", "temperature", "store", "colour"):
        assert f"'{name}'" in error["message"]


def test_openai_s_client_raises_its_typed_error(service: Service) -> None:
    with pytest.raises(BadRequestError) as caught:
        service.openai.chat.completions.create(**CHAT, store=True)
    assert caught.value.status_code == 400
    assert (caught.value.param, caught.value.code) == ("store", "unsupported_parameter")
    assert caught.value.type == "invalid_request_error"
