"""OpenAI's client gets typed responses, whole, as a stream and in the background, and goes on from stored ones."""

from __future__ import annotations

from typing import Any

import pytest
from openai import BadRequestError, NotFoundError, RateLimitError
from openai.types.responses import Response, ResponseStreamEvent

from serving.engines.protocol import EngineOverloaded, EngineUnavailable, TokenChunk, TokenLogprobs
from tests.serving.api.service import MAX_CONTEXT, MODEL, Service

HELLO = [{"role": "user", "content": "Hello"}]


def create(service: Service, **changes: Any) -> Response:
    return service.openai.responses.create(**{"model": MODEL, "input": "Hello", **changes})


def stream(service: Service, **changes: Any) -> list[ResponseStreamEvent]:
    with service.openai.responses.create(model=MODEL, input="Hello", stream=True, **changes) as events:
        return list(events)


def strictly(response: Response) -> Response:
    """The response, after its JSON was held to OpenAI's types once more: the client itself takes anything."""
    return Response.model_validate_json(response.to_json(), strict=True)


def chat_prompt(service: Service, messages: list[Any]) -> str:
    """What the engine is asked for a conversation on /v1/chat/completions."""
    service.openai.chat.completions.create(model=MODEL, messages=messages)
    return service.prompt_of()


def test_a_response_has_openai_s_shape(service: Service) -> None:
    made = service.says("Hello there")
    response = strictly(create(service, metadata={"team": "research"}, temperature=0.5, safety_identifier="a"))
    assert response.output_text == "Hello there"
    assert response.status == "completed"
    assert response.id.startswith("resp_")
    assert response.output[0].type == "message"
    assert (response.output[0].role, response.output[0].status) == ("assistant", "completed")
    assert (response.metadata, response.temperature, response.safety_identifier) == ({"team": "research"}, 0.5, "a")
    assert response.usage is not None
    prompt_tokens = len(service.engine.requests[0].prompt_token_ids)
    assert (response.usage.input_tokens, response.usage.output_tokens) == (prompt_tokens, len(made))
    assert response.usage.total_tokens == prompt_tokens + len(made)
    assert response.error is None
    assert response.incomplete_details is None


@pytest.mark.parametrize(
    ("asked", "messages"),
    [
        ({"input": "Hello"}, HELLO),
        ({"input": [{"role": "user", "content": "Hello"}]}, HELLO),
        (
            {"input": "Hello", "instructions": "Be brief."},
            [{"role": "system", "content": "Be brief."}, *HELLO],
        ),
        (
            {
                "input": [
                    {"type": "message", "role": "developer", "content": "Be brief."},
                    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
                    {
                        "type": "message",
                        "id": "msg_1",
                        "status": "completed",
                        "role": "assistant",
                        "phase": "final_answer",
                        "content": [{"type": "output_text", "text": "Hi!", "annotations": [], "logprobs": []}],
                    },
                    {
                        "role": "user",
                        "content": [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}],
                    },
                ]
            },
            [
                {"role": "developer", "content": "Be brief."},
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": "Hi!"},
                {"role": "user", "content": "a\nb"},
            ],
        ),
    ],
    ids=["text", "message", "instructions", "conversation"],
)
def test_the_model_reads_what_it_would_read_as_a_chat(
    service: Service, asked: dict[str, Any], messages: list[Any]
) -> None:
    create(service, **asked)
    assert service.prompt_of() == chat_prompt(service, messages)


def test_an_answer_s_output_can_be_sent_back_as_it_came(service: Service) -> None:
    service.says("Hi")
    output = [item.model_dump() for item in create(service).output]
    create(service, input=[*HELLO, *output, {"role": "user", "content": "And now?"}])
    assert service.prompt_of().count("assistant\nHi<|im_end|>") == 1


def test_what_is_asked_for_reaches_the_engine(service: Service) -> None:
    create(service, max_output_tokens=7, temperature=0.25, top_p=0.5, extra_body={"top_k": 3, "seed": 4})
    request = service.engine.requests[0]
    assert request.max_tokens == 7
    assert (request.sampling.temperature, request.sampling.top_p) == (0.25, 0.5)
    assert (request.sampling.top_k, request.sampling.seed) == (3, 4)


def test_penalties_and_vllm_s_parameters_reach_the_engine(service: Service) -> None:
    asked = {"presence_penalty": 0.5, "min_p": 0.25, "logit_bias": {"5": -100}, "min_tokens": 2, "stop_token_ids": [7]}
    response = create(service, extra_body=asked)
    request = service.engine.requests[0]
    assert (request.sampling.presence_penalty, request.sampling.min_p) == (0.5, 0.25)
    assert (request.sampling.logit_bias, request.min_tokens) == ({5: -100}, 2)
    assert 7 in request.stop_token_ids
    assert response.model_extra is not None
    assert response.model_extra["presence_penalty"] == 0.5


def test_log_probabilities_come_with_the_text_that_they_are_of(service: Service) -> None:
    likely = [
        TokenLogprobs(-0.5, ((service.tokens("Hi")[0], -0.5), (service.tokens("Ho")[0], -1.5))),
        TokenLogprobs(-2),
    ]
    tokens = service.tokens("Hi you")
    service.engine.script = lambda _: [
        *(TokenChunk((token,), logprobs=(found,)) for token, found in zip(tokens, likely, strict=True)),
        TokenChunk((), "stop"),
    ]
    asked: dict[str, Any] = {"include": ["message.output_text.logprobs"], "top_logprobs": 2}
    part = strictly(create(service, **asked)).output[0]
    assert part.type == "message"
    assert part.content[0].type == "output_text"
    told = part.content[0].logprobs
    assert told is not None
    assert [(token.token, token.logprob) for token in told] == [("Hi", -0.5), (" you", -2)]
    assert [(top.token, top.logprob) for top in told[0].top_logprobs] == [("Hi", -0.5), ("Ho", -1.5)]
    assert service.engine.requests[0].logprobs == 2
    deltas = [event for event in stream(service, **asked) if event.type == "response.output_text.delta"]
    assert [(event.delta, event.logprobs[0].token) for event in deltas] == [("Hi", "Hi"), (" you", " you")]


def test_an_answer_that_was_cut_off_is_incomplete(service: Service) -> None:
    service.says("One two", finish_reason="length")
    response = strictly(create(service, max_output_tokens=2))
    assert response.status == "incomplete"
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "max_output_tokens"
    assert response.output_text == "One two"


def test_a_stream_has_openai_s_events_in_openai_s_order(service: Service) -> None:
    service.says("Hello there")
    events = stream(service)
    assert [event.type for event in events] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    for event in events:
        type(event).model_validate_json(event.to_json(), strict=True)
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == "Hello there"
    last = events[-1]
    assert last.type == "response.completed"
    assert last.response.output_text == "Hello there"
    assert last.response.usage is not None


def test_events_are_named_and_the_last_is_the_response(service: Service) -> None:
    service.says("Hi")
    body = {"model": MODEL, "input": "Hello", "stream": True}
    blocks = service.http.post("/v1/responses", json=body).text.strip().split("\n\n")
    assert blocks[0].startswith('event: response.created\ndata: {"type":"response.created"')
    assert blocks[-1].startswith("event: response.completed\ndata: ")


def test_openai_s_streaming_helper_puts_the_response_together(service: Service) -> None:
    service.says("Hello there")
    with service.openai.responses.stream(model=MODEL, input="Hello") as events:
        snapshots = [event.snapshot for event in events if event.type == "response.output_text.delta"]
        response = events.get_final_response()
    assert snapshots == ["Hello", "Hello there"]
    assert (response.output_text, response.status) == ("Hello there", "completed")


def test_a_stream_that_is_cut_off_ends_incomplete(service: Service) -> None:
    service.says("One", finish_reason="length")
    last = stream(service)[-1]
    assert last.type == "response.incomplete"
    assert last.response.status == "incomplete"


def test_a_stream_that_fails_ends_failed_and_says_why(service: Service) -> None:
    service.says("One two", then=EngineUnavailable("the engine's process died"))
    last = stream(service)[-1]
    assert last.type == "response.failed"
    assert last.response.error is not None
    assert (last.response.error.code, last.response.error.message) == ("server_error", "the engine's process died")
    assert last.response.output_text == "One two"
    assert service.openai.responses.retrieve(last.response.id).status == "failed"


@pytest.mark.parametrize("streamed", [True, False])
def test_a_request_that_is_turned_away_has_a_status(service: Service, streamed: bool) -> None:
    service.says("", then=EngineOverloaded("too many requests wait"))
    with pytest.raises(RateLimitError):
        create(service, stream=streamed)


@pytest.mark.parametrize(
    ("param", "value"),
    [
        ("access_programs", {"cyber": "standard"}),
        ("background_options", {"completion_window": "2h"}),
        ("context_management", [{"type": "compaction"}]),
        ("conversation", "conv_1"),
        ("conversation", {"id": "conv_1"}),
        ("image", {"context_compression": "auto"}),
        ("moderation", {"model": "omni-moderation-latest"}),
        ("prompt", {"id": "pmpt_1"}),
        ("reasoning.effort", "low"),
        ("reasoning.summary", "auto"),
        ("service_tier", "priority"),
        ("stream_options", {"include_obfuscation": True}),
        ("text.verbosity", "low"),
        ("truncation", "auto"),
    ],
    ids=str,
)
def test_a_parameter_that_is_not_supported_is_refused_by_name(service: Service, param: str, value: Any) -> None:
    name, _, inner = param.partition(".")
    with pytest.raises(BadRequestError) as caught:
        create(service, extra_body={name: {inner: value} if inner else value})
    assert (caught.value.param, caught.value.code) == (param, "unsupported_parameter")
    assert service.engine.requests == []


IMAGE = {"type": "input_image", "image_url": "data:image/png;base64,"}


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"input": []}, "input", "invalid_value"),
        ({"input": 3}, "input", "invalid_type"),
        ({"input": [{"role": "tool", "content": "a"}]}, "input[0].role", "invalid_value"),
        ({"input": [{"role": "user", "content": [IMAGE]}]}, "input[0].content[0]", "unsupported_value"),
        ({"input": [*HELLO, {"type": "item_reference", "id": "msg_1"}]}, "input[1]", "unsupported_value"),
        ({"text": {"format": {"type": "grammar"}}}, "text.format", "unsupported_value"),
        ({"top_logprobs": 3}, "top_logprobs", "invalid_value"),
        ({"min_tokens": 3, "max_output_tokens": 2}, "min_tokens", "invalid_value"),
        ({"include": ["everything"]}, "include[0]", "invalid_value"),
        ({"max_output_tokens": 0}, "max_output_tokens", "invalid_value"),
        ({"background": True, "store": False}, "store", "invalid_value"),
        ({"background": True, "stream": True}, "stream", "invalid_value"),
        ({"colour": "red"}, "colour", "unknown_parameter"),
        ({"max_output_tokens": MAX_CONTEXT}, "input", "context_length_exceeded"),
        ({"input": "x" * 100_000}, "input", "context_length_exceeded"),
        ({"background": True, "input": "x" * 100_000}, "input", "context_length_exceeded"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_what_cannot_be_answered_is_refused(service: Service, change: dict[str, Any], param: str, code: str) -> None:
    answer = service.http.post("/v1/responses", json={"model": MODEL, "input": "Hello", **change})
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["code"]) == (400, param, code), error["message"]
    assert service.engine.requests == []


def test_values_that_ask_for_nothing_are_accepted(service: Service) -> None:
    neutral = {
        "include": ["reasoning.encrypted_content"],
        "reasoning": {"effort": "none"},
        "service_tier": "auto",
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "tool_choice": "auto",
        "tools": [],
        "top_logprobs": 0,
        "truncation": "disabled",
    }
    assert create(service, extra_body=neutral).status == "completed"


def test_the_model_is_checked(service: Service) -> None:
    with pytest.raises(NotFoundError) as caught:
        create(service, model="gpt-5")
    assert caught.value.code == "model_not_found"


def test_an_endpoint_of_openai_that_is_missing_is_no_id_of_a_response(service: Service) -> None:
    with pytest.raises(NotFoundError) as caught:
        service.openai.responses.compact(model=MODEL, input="Hello")
    assert caught.value.code == "unknown_url"


def test_every_method_of_a_path_is_named_where_another_was_used(service: Service) -> None:
    answer = service.http.put("/v1/responses/resp_1")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, DELETE")
    assert "use GET, DELETE." in answer.json()["error"]["message"]
