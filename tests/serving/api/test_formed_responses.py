"""Responses tell thoughts apart, and are held to a form, as chat completions are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import pytest
from openai import BadRequestError
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel, ConfigDict

from serving.engines.protocol import EngineUnavailable
from serving.grammars import MAX_SCHEMA_CHARACTERS
from tests.serving.api.conftest import ServeTools
from tests.serving.api.service import MODEL, Service
from tests.serving.obedient import takes

THOUGHTS = "Six sevens.\nThat is 42."
TEXT = f"<think>\n{THOUGHTS}\n</think>\n\nIt is 42."


class Shape(BaseModel):
    model_config = ConfigDict(extra="forbid")

    colour: Literal["red", "blue"]
    corners: list[Literal["round", "sharp"]]


@pytest.fixture
def thinker(serve_tools: ServeTools) -> Iterator[Service]:
    with serve_tools(None, "qwen3") as service:
        yield service


def create(service: Service, **changes: Any) -> Response:
    response = service.openai.responses.create(**{"model": MODEL, "input": "What is 6 times 7?", **changes})
    return Response.model_validate_json(response.to_json(), strict=True)


def stream(service: Service, **changes: Any) -> list[ResponseStreamEvent]:
    with service.openai.responses.create(model=MODEL, input="Hello", stream=True, **changes) as events:
        return list(events)


def thoughts_of(response: Response) -> str:
    item = response.output[0]
    assert item.type == "reasoning"
    assert item.content is not None
    return item.content[0].text


def test_thoughts_are_an_item_of_their_own(thinker: Service) -> None:
    thinker.says(TEXT)
    response = create(thinker)
    assert [item.type for item in response.output] == ["reasoning", "message"]
    assert (thoughts_of(response), response.output_text) == (THOUGHTS, "It is 42.")
    assert response.usage is not None
    assert response.usage.output_tokens_details.reasoning_tokens == len(thinker.tokens(THOUGHTS))


def test_markers_that_are_special_tokens_are_seen(serve_tools: ServeTools) -> None:
    with serve_tools(None, "mistral") as service:
        service.says(f"[THINK]{THOUGHTS}[/THINK]It is 42.")
        response = create(service)
    assert (thoughts_of(response), response.output_text) == (THOUGHTS, "It is 42.")


@pytest.mark.parametrize("chunk", [1, 5, 100])
def test_a_stream_tells_thoughts_first(thinker: Service, chunk: int) -> None:
    thinker.says(TEXT, chunk=chunk)
    events = stream(thinker)
    kinds = [event.type for event in events]
    assert list(dict.fromkeys(kinds)) == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.reasoning_text.delta",
        "response.reasoning_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.output_text.delta",
        "response.output_text.done",
        "response.completed",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    for event in events:
        type(event).model_validate_json(event.to_json(), strict=True)
    thoughts = [event for event in events if event.type == "response.reasoning_text.delta"]
    text = [event for event in events if event.type == "response.output_text.delta"]
    assert "".join(event.delta for event in thoughts) == THOUGHTS
    assert "".join(event.delta for event in text) == "It is 42."
    assert ({event.output_index for event in thoughts}, {event.output_index for event in text}) == ({0}, {1})
    last = events[-1]
    assert last.type == "response.completed"
    assert (thoughts_of(last.response), last.response.output_text) == (THOUGHTS, "It is 42.")


def test_openai_s_streaming_helper_puts_thoughts_and_text_together(thinker: Service) -> None:
    thinker.says(TEXT)
    with thinker.openai.responses.stream(model=MODEL, input="Hello") as events:
        texts = [event.snapshot for event in events if event.type == "response.output_text.delta"]
        response = events.get_final_response()
    assert texts[-1] == "It is 42."
    assert response.output_text == "It is 42."


def test_a_conversation_goes_on_without_the_thoughts(thinker: Service) -> None:
    thinker.says(TEXT)
    first = create(thinker)
    create(thinker, input="Sure?", previous_response_id=first.id)
    assert "It is 42.<|im_end|>" in thinker.prompt_of()
    assert "Six sevens" not in thinker.prompt_of()
    output = [item.model_dump() for item in first.output]
    create(
        thinker, input=[{"role": "user", "content": "What is 6 times 7?"}, *output, {"role": "user", "content": "?"}]
    )
    assert "It is 42.<|im_end|>" in thinker.prompt_of()
    assert "Six sevens" not in thinker.prompt_of()


def test_an_answer_that_was_cut_off_in_thought_has_no_message(thinker: Service) -> None:
    thinker.says(f"<think>{THOUGHTS}", finish_reason="length")
    response = create(thinker)
    assert [item.type for item in response.output] == ["reasoning"]
    assert (response.status, response.output_text) == ("incomplete", "")
    assert thoughts_of(response) == THOUGHTS


def test_a_stream_that_fails_in_thought_keeps_the_thoughts(thinker: Service) -> None:
    thinker.says("<think>One two", then=EngineUnavailable("gone"))
    last = stream(thinker)[-1]
    assert last.type == "response.failed"
    assert thoughts_of(last.response) == "One two"


@pytest.mark.parametrize("chunk", [1, 100])
def test_log_probabilities_are_those_of_the_message(thinker: Service, chunk: int) -> None:
    thinker.says(TEXT, chunk=chunk)
    part = create(thinker, include=["message.output_text.logprobs"]).output[1]
    assert part.type == "message"
    assert part.content[0].type == "output_text"
    assert "".join(token.token for token in part.content[0].logprobs or []).strip() == "It is 42."


def test_thinking_can_be_turned_off(thinker: Service) -> None:
    thinker.says("It is 42.")
    response = create(thinker, reasoning={"effort": "none"})
    assert thinker.prompt_of().endswith("</think>\n\n")
    assert response.reasoning is not None
    assert response.reasoning.effort == "none"


def test_an_answer_is_parsed_into_the_model_that_was_asked_for(service: Service) -> None:
    service.obeys()
    response = service.openai.responses.parse(model=MODEL, input="A shape", text_format=Shape)
    assert isinstance(response.output_parsed, Shape)


def test_an_answer_of_a_form_may_be_thought_over(thinker: Service) -> None:
    response = create(thinker, text={"format": {"type": "json_object"}})
    grammar = thinker.engine.requests[0].grammar
    assert grammar is not None
    assert takes(grammar, '<think>\nAny { thought\n</think>\n\n{"answer": 42}')
    assert not takes(grammar, "<think>\nhm\n</think>\n\n42")
    assert response.text is not None
    assert response.text.format is not None
    assert response.text.format.type == "json_object"


def test_a_schema_comes_back_as_it_was_asked_for(service: Service) -> None:
    wanted = {"type": "json_schema", "name": "shape", "schema": Shape.model_json_schema(), "strict": True}
    response = create(service, text={"format": wanted})
    assert response.to_dict()["text"] == {"format": wanted, "verbosity": "medium"}
    grammar = service.engine.requests[0].grammar
    assert grammar is not None
    assert takes(grammar, '{"colour": "red", "corners": []}')
    assert not takes(grammar, '{"colour": "green", "corners": []}')


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "objekt"}, "objekt"),
        ({"type": "string", "description": "x" * MAX_SCHEMA_CHARACTERS}, "leave descriptions out"),
    ],
    ids=["unknown type", "too large"],
)
def test_a_schema_that_no_answer_can_be_held_to_is_refused(service: Service, schema: Any, words: str) -> None:
    wanted: Any = {"type": "json_schema", "name": "shape", "schema": schema}
    with pytest.raises(BadRequestError, match=words) as caught:
        create(service, text={"format": wanted})
    assert (caught.value.param, caught.value.code) == ("text.format", "invalid_schema")
