"""Answers held to a schema, asked for with OpenAI's own client; what is drawn obeys the grammar and nothing else."""

from __future__ import annotations

import json
from typing import Any, Literal

import pytest
from openai import BadRequestError
from pydantic import BaseModel, ConfigDict

from tests.serving.api.service import MODEL, Service
from tests.serving.obedient import takes

HELLO: Any = [{"role": "user", "content": "Hello"}]


class Shape(BaseModel):
    model_config = ConfigDict(extra="forbid")

    colour: Literal["red", "blue"]
    size: Literal[1, 2, 3]
    corners: list[Literal["round", "sharp"]]


def schema_format(schema: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "shape", "schema": schema, **more}}


@pytest.fixture
def obedient(service: Service) -> Service:
    service.obeys()
    return service


def test_an_answer_is_parsed_into_the_model_that_was_asked_for(obedient: Service) -> None:
    answer = obedient.openai.chat.completions.parse(model=MODEL, messages=HELLO, response_format=Shape)
    shape = answer.choices[0].message.parsed
    assert isinstance(shape, Shape)
    assert answer.choices[0].finish_reason == "stop"


def test_a_stream_is_parsed_as_it_comes(obedient: Service) -> None:
    with obedient.openai.chat.completions.stream(model=MODEL, messages=HELLO, response_format=Shape) as stream:
        kinds = {event.type for event in stream}
        shape = stream.get_final_completion().choices[0].message.parsed
    assert isinstance(shape, Shape)
    assert {"content.delta", "content.done"} <= kinds


def test_any_object_is_an_object(service: Service) -> None:
    service.openai.chat.completions.create(model=MODEL, messages=HELLO, response_format={"type": "json_object"})
    grammar = service.engine.requests[0].grammar
    assert grammar is not None
    assert takes(grammar, '{"a": [1, {"b": null}]}')
    assert not takes(grammar, "[1]")
    assert not takes(grammar, '{"a": 1} and more')


@pytest.mark.parametrize("strict", [True, False, None])
def test_a_schema_holds_whether_it_is_called_strict_or_not(service: Service, strict: bool | None) -> None:
    wanted: Any = schema_format(Shape.model_json_schema(), strict=strict, description="A shape.")
    service.openai.chat.completions.create(model=MODEL, messages=HELLO, response_format=wanted)
    grammar = service.engine.requests[0].grammar
    assert grammar is not None
    assert takes(grammar, '{"colour": "red", "size": 1, "corners": []}')
    assert not takes(grammar, '{"colour": "green", "size": 1, "corners": []}')
    assert not takes(grammar, '{"colour": "red",' + " " * 100 + '"size": 1, "corners": []}'), "white space has no end"


def test_completions_are_held_to_a_schema_too(obedient: Service) -> None:
    wanted = schema_format(Shape.model_json_schema())
    answer = obedient.openai.completions.create(
        model=MODEL, prompt=["A shape:", "Another:"], extra_body={"response_format": wanted}
    )
    assert all(Shape.model_validate_json(choice.text) for choice in answer.choices)


def test_text_is_not_held_to_anything(service: Service) -> None:
    service.openai.chat.completions.create(model=MODEL, messages=HELLO, response_format={"type": "text"})
    service.openai.chat.completions.create(model=MODEL, messages=HELLO)
    assert [request.grammar for request in service.engine.requests] == [None, None]


def test_an_answer_that_meets_its_limit_says_so(service: Service) -> None:
    service.says('{"colour": "re', finish_reason="length")
    answer = service.openai.chat.completions.create(
        model=MODEL, messages=HELLO, response_format={"type": "json_object"}
    )
    assert answer.choices[0].finish_reason == "length"
    with pytest.raises(json.JSONDecodeError):
        json.loads(answer.choices[0].message.content or "")


NESTED: dict[str, Any] = {}
for _ in range(200):
    NESTED = {"type": "array", "items": NESTED}


@pytest.mark.parametrize(
    ("wanted", "code", "says"),
    [
        (schema_format({"type": "objekt"}), "invalid_schema", "objekt"),
        (schema_format({"type": "array", "uniqueItems": True}), "invalid_schema", "uniqueItems"),
        (
            schema_format({"type": "array", "uniqueItems": True, "x-guidance": {"lenient": True}}),
            "invalid_schema",
            "uniqueItems",
        ),
        (schema_format({"$ref": "#/nowhere"}), "invalid_schema", "nowhere"),
        (schema_format({"type": "string", "pattern": "(?=a)b"}), "invalid_schema", "look-around"),
        (schema_format({"enum": []}), "invalid_schema", "nsatisfiable"),
        (schema_format(NESTED), "invalid_schema", "nested too deeply"),
        (schema_format({"enum": ["a" * 1000] * 300}), "invalid_schema", "may have 262144"),
        ({"type": "grammar"}, "unsupported_value", "json_schema"),
        ("json", "unsupported_value", "json_schema"),
    ],
    ids=lambda value: str(value)[:60],
)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
def test_a_format_that_no_answer_can_be_held_to_is_refused_with_the_reason(
    service: Service, path: str, wanted: Any, code: str, says: str
) -> None:
    body = {"model": MODEL, "messages": HELLO} if "chat" in path else {"model": MODEL, "prompt": "Hello"}
    answer = service.http.post(path, json={**body, "response_format": wanted})
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["code"]) == (400, "response_format", code), error
    assert says in error["message"]
    assert service.engine.requests == []


@pytest.mark.parametrize(
    ("wanted", "param"),
    [
        ({"type": "json_schema"}, "response_format.json_schema"),
        ({"type": "json_schema", "json_schema": {"schema": {}}}, "response_format.json_schema.name"),
        (schema_format({}, strikt=True), "response_format.json_schema.strikt"),
        ({"type": "json_object", "schema": {}}, "response_format.schema"),
    ],
    ids=str,
)
def test_a_format_with_a_wrong_field_is_refused_with_its_path(service: Service, wanted: Any, param: str) -> None:
    with pytest.raises(BadRequestError) as caught:
        service.openai.chat.completions.create(model=MODEL, messages=HELLO, response_format=wanted)
    assert caught.value.param == param
