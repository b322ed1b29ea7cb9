"""Tools on /v1/responses, offered, called and answered with OpenAI's own client."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from openai import BadRequestError
from openai.types.responses import Response, ResponseFunctionToolCall, ResponseStreamEvent

from serving.engines.protocol import EngineUnavailable
from tests.serving.api.conftest import ServeTools
from tests.serving.api.service import MODEL, Service
from tests.serving.api.weather import CALL, CLOCK_CALL, DESCRIPTION, FORMATS, NAME, SCHEMA, GetWeather
from tests.serving.api.weather import QUESTION as ASK
from tests.serving.obedient import takes

WEATHER: Any = {
    "type": "function",
    "name": NAME,
    "description": DESCRIPTION,
    "parameters": SCHEMA,
}
CLOCK: Any = {"type": "function", "name": "clock"}
TOOLS: Any = [WEATHER, CLOCK]


def create(service: Service, **changes: Any) -> Response:
    response = service.openai.responses.create(**{"model": MODEL, "input": ASK, "tools": TOOLS, **changes})
    return Response.model_validate_json(response.to_json(), strict=True)


def stream(service: Service, **changes: Any) -> list[ResponseStreamEvent]:
    asked = {"model": MODEL, "input": ASK, "tools": TOOLS, **changes}
    with service.openai.responses.create(**asked, stream=True) as events:
        return list(events)


def calls_of(response: Response) -> list[ResponseFunctionToolCall]:
    return [item for item in response.output if item.type == "function_call"]


def grammar_of(service: Service) -> str:
    grammar = service.engine.requests[-1].grammar
    assert grammar is not None
    return grammar


def chat_prompt(service: Service, messages: list[Any], **asked: Any) -> str:
    """What the engine is asked for a conversation on /v1/chat/completions."""
    service.openai.chat.completions.create(model=MODEL, messages=messages, **asked)
    return service.prompt_of()


def chat_tool(tool: Any) -> Any:
    return {"type": "function", "function": {name: value for name, value in tool.items() if name != "type"}}


def test_a_call_is_an_item_of_its_own_after_the_message(tools: Service) -> None:
    made = tools.says(f"I look it up.\n{CALL}")
    response = create(tools)
    assert [item.type for item in response.output] == ["message", "function_call"]
    assert response.output_text == "I look it up."
    (call,) = calls_of(response)
    assert (call.name, json.loads(call.arguments), call.status) == ("get_weather", {"city": "Paris"}, "completed")
    assert call.call_id.startswith("call_")
    assert call.id is not None
    assert call.id.startswith("fc_")
    assert response.status == "completed"
    assert response.usage is not None
    assert response.usage.output_tokens == len(made), "the tokens of calls are used as those of text are"


def test_an_answer_of_calls_alone_has_no_message(tools: Service) -> None:
    tools.says(f"{CALL}\n{CLOCK_CALL}")
    response = create(tools)
    assert [item.type for item in response.output] == ["function_call", "function_call"]
    assert [call.name for call in calls_of(response)] == ["get_weather", "clock"]
    assert len({call.call_id for call in calls_of(response)} | {call.id for call in calls_of(response)}) == 4


def test_text_after_a_call_is_another_message(tools: Service) -> None:
    tools.says(f"Well.\n{CALL}\nThat is all.")
    response = create(tools)
    assert [item.type for item in response.output] == ["message", "function_call", "message"]
    assert response.output_text == "Well.That is all."


def test_the_stored_response_has_the_calls_and_repeats_what_was_asked_for(tools: Service) -> None:
    tools.says(CALL)
    response = create(tools, tool_choice="auto", parallel_tool_calls=False)
    assert tools.openai.responses.retrieve(response.id).to_dict() == response.to_dict()
    asked = response.to_dict()
    assert (asked["tool_choice"], asked["parallel_tool_calls"]) == ("auto", False)
    assert asked["tools"] == [
        {**WEATHER, "strict": False},
        {**CLOCK, "description": None, "parameters": None, "strict": False},
    ]


@pytest.mark.parametrize(
    "choice",
    [
        "none",
        "required",
        {"type": "function", "name": "clock"},
        {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "clock"}]},
    ],
    ids=str,
)
def test_the_choice_comes_back_as_it_was_made(tools: Service, choice: Any) -> None:
    assert create(tools, tool_choice=choice).to_dict()["tool_choice"] == choice


@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_a_stream_has_openai_s_events_in_openai_s_order(tools: Service, chunk: int) -> None:
    tools.says(f"Well. {CALL} {CLOCK_CALL}", chunk=chunk)
    events = stream(tools)
    assert [event.sequence_number for event in events] == list(range(len(events)))
    for event in events:
        type(event).model_validate_json(event.to_json(), strict=True)
    kinds = [event.type.removeprefix("response.") for event in events]
    assert [kind for place, kind in enumerate(kinds) if kind != kinds[place - 1]] == [
        *("created", "in_progress"),
        *("output_item.added", "content_part.added", "output_text.delta", "output_text.done", "content_part.done"),
        *("output_item.done", "output_item.added", "function_call_arguments.delta", "function_call_arguments.done"),
        *("output_item.done", "output_item.added", "function_call_arguments.delta", "function_call_arguments.done"),
        *("output_item.done", "completed"),
    ]
    added = [event for event in events if event.type == "response.output_item.added"]
    assert [event.output_index for event in added] == [0, 1, 2]
    begun = [event.item for event in added if event.item.type == "function_call"]
    assert [(call.name, call.arguments, call.status) for call in begun] == [
        ("get_weather", "", "in_progress"),
        ("clock", "", "in_progress"),
    ]
    for call, index, whole in ((begun[0], 1, '{"city": "Paris"}'), (begun[1], 2, "{}")):
        deltas = [event for event in events if event.type == "response.function_call_arguments.delta"]
        own = [event for event in deltas if event.item_id == call.id]
        assert "".join(event.delta for event in own) == whole
        assert {event.output_index for event in own} == {index}
        (done,) = [
            event
            for event in events
            if event.type == "response.function_call_arguments.done" and event.item_id == call.id
        ]
        assert done.arguments == whole
    last = events[-1]
    assert last.type == "response.completed"
    ended = [event.item for event in events if event.type == "response.output_item.done"]
    assert ended == last.response.output
    assert tools.openai.responses.retrieve(last.response.id).output == last.response.output


def test_a_call_that_meets_the_limit_is_incomplete(tools: Service) -> None:
    tools.says(f"{CLOCK_CALL}\n{CALL[:60]}", finish_reason="length")
    response = create(tools)
    assert response.status == "incomplete"
    assert [call.status for call in calls_of(response)] == ["completed", "incomplete"]
    last = stream(tools)[-1]
    assert last.type == "response.incomplete"
    assert [call.status for call in calls_of(last.response)] == ["completed", "incomplete"]


def test_a_stream_that_fails_in_a_call_keeps_what_there_is(tools: Service) -> None:
    tools.says(f"{CLOCK_CALL}\n{CALL[:60]}", then=EngineUnavailable("gone"))
    last = stream(tools)[-1]
    assert last.type == "response.failed"
    assert [call.status for call in calls_of(last.response)] == ["completed", "incomplete"]


SHOWS_THOUGHTS = """{% for turn in messages %}<|im_start|>{{ turn.role }}
{% if turn.reasoning_content %}<think>{{ turn.reasoning_content }}</think>{% endif %}{{ turn.content }}<|im_end|>
{% endfor %}<|im_start|>assistant
{{ tools }}"""
"""As templates of models that think between their calls, which take what was thought since the last question."""


def test_thoughts_before_calls_go_to_the_template(serve_tools: ServeTools, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve_tools("hermes", "qwen3") as service:
        monkeypatch.setattr(service.tokenizer, "chat_template", SHOWS_THOUGHTS)
        service.says(f"<think>\nI must look.\n</think>\n\n{CALL}")
        response = create(service)
        assert [item.type for item in response.output] == ["reasoning", "function_call"]
        service.says("<think>\nI know.\n</think>\n\nSunny.")
        result: Any = {"type": "function_call_output", "call_id": calls_of(response)[0].call_id, "output": "Sunny"}
        kept = create(service, input=[result], previous_response_id=response.id)
        prompt = service.prompt_of()
        assert "assistant\n<think>I must look.</think><|im_end|>" in prompt
        output = [item.to_dict() for item in response.output]
        create(service, input=[{"role": "user", "content": ASK}, *output, result])
        assert service.prompt_of() == prompt
        create(service, input="Sure?", previous_response_id=kept.id)
        assert "I know" not in service.prompt_of(), "what led to an answer is not read again"


def test_a_conversation_goes_on_with_what_a_call_gave_back(tools: Service) -> None:
    tools.says(f"I look it up.\n{CALL}")
    first = create(tools)
    call = calls_of(first)[0]
    tools.says("It is sunny.")
    result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "Sunny"}
    second = create(tools, input=[result], previous_response_id=first.id)
    assert second.output_text == "It is sunny."
    prompt = tools.prompt_of()
    function = {"name": "get_weather", "arguments": '{"city": "Paris"}'}
    messages = [
        {"role": "user", "content": ASK},
        {
            "role": "assistant",
            "content": "I look it up.",
            "tool_calls": [{"id": call.call_id, "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": call.call_id, "content": "Sunny"},
    ]
    assert prompt == chat_prompt(tools, messages, tools=[chat_tool(tool) for tool in TOOLS])
    assert "<|im_start|>tool\nSunny<|im_end|>" in prompt
    create(tools, input="Sure?", previous_response_id=second.id)
    assert "It is sunny.<|im_end|>\n<|im_start|>user\nSure?" in tools.prompt_of()


def test_an_answer_with_calls_can_be_sent_back_as_it_came(tools: Service) -> None:
    tools.says(f"I look it up.\n{CALL}\n{CLOCK_CALL}")
    first = create(tools)
    weather, clock = calls_of(first)
    results: list[Any] = [
        {"type": "function_call_output", "call_id": clock.call_id, "output": [{"type": "input_text", "text": "12:00"}]},
        {"type": "function_call_output", "call_id": weather.call_id, "output": "Sunny", "status": "completed"},
    ]
    create(tools, input=results, previous_response_id=first.id)
    prompt = tools.prompt_of()
    sent: list[Any] = [{"role": "user", "content": ASK}, *first.output, *results]
    create(tools, input=sent)
    assert tools.prompt_of() == prompt, "a call is read the same, kept or sent"
    create(tools, input=[sent[0], *(item.model_dump() for item in first.output), *results])
    assert tools.prompt_of() == prompt
    assert prompt.count("<|im_start|>assistant") == 2, "calls of one answer are one turn"


def test_calls_that_were_answered_one_by_one_are_turns_of_their_own(tools: Service) -> None:
    def call(call_id: str) -> list[Any]:
        return [
            {"type": "function_call", "call_id": call_id, "name": "clock", "arguments": "{}"},
            {"type": "function_call_output", "call_id": call_id, "output": f"output of {call_id}"},
        ]

    create(tools, input=[{"role": "user", "content": ASK}, *call("a"), *call("b")])
    turns = tools.prompt_of().split("<|im_start|>")
    assert [turn.split("\n")[0] for turn in turns[2:]] == [
        "user",
        "assistant",
        "tool",
        "assistant",
        "tool",
        "assistant",
    ]


def test_arguments_that_are_no_json_do_not_end_the_conversation(tools: Service) -> None:
    tools.says('<tool_call>\n{"name": "clock", "arguments": {"zone": tru}}\n</tool_call>')
    first = create(tools)
    (call,) = calls_of(first)
    assert call.arguments == '{"zone": tru}'
    result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "no JSON"}
    assert create(tools, input=[result], previous_response_id=first.id).status == "completed"
    assert "tru}" in tools.prompt_of()
    half: Any = {"type": "function_call", "call_id": "1", "name": "clock", "arguments": r'{"zone": "\ud800"}'}
    deep: Any = {**half, "call_id": "2", "arguments": '{"a":' * 5000 + "1" + "}" * 5000}
    assert create(tools, input=[half]).status == "completed"
    with pytest.raises(BadRequestError) as caught:
        create(tools, input=[deep])
    assert caught.value.code == "context_length_exceeded"


def test_the_model_is_told_of_the_tools_as_in_chat_completions(tools: Service) -> None:
    create(tools)
    prompt = tools.prompt_of()
    assert '"description": "The weather in a city."' in prompt
    wanted = [chat_tool(tool) for tool in TOOLS]
    assert prompt == chat_prompt(tools, [{"role": "user", "content": ASK}], tools=wanted)


def test_no_tools_are_told_of_if_none_may_be_called(tools: Service) -> None:
    tools.says(CALL)
    response = create(tools, tool_choice="none")
    assert response.output_text == CALL
    assert "get_weather" not in tools.prompt_of()


def test_a_demand_for_calls_is_the_grammar_of_chat_completions(tools: Service) -> None:
    create(tools, tool_choice="required")
    grammar = grammar_of(tools)
    assert takes(grammar, f"{CALL}\n{CLOCK_CALL}")
    assert not takes(grammar, "It is sunny.")
    assert not takes(grammar, CALL.replace("Paris", "London"))
    create(tools, tool_choice="required", parallel_tool_calls=False)
    assert not takes(grammar_of(tools), f"{CALL}\n{CLOCK_CALL}")
    create(tools, tool_choice={"type": "function", "name": "clock"})
    assert takes(grammar_of(tools), CLOCK_CALL)
    assert not takes(grammar_of(tools), CALL)
    allowed = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "clock"}]}
    create(tools, tool_choice=allowed)
    assert not takes(grammar_of(tools), CALL)
    assert "get_weather" not in tools.prompt_of()


def test_a_function_is_strict_if_it_says_so(tools: Service) -> None:
    create(tools, tools=[{**WEATHER, "strict": True}, CLOCK])
    assert takes(grammar_of(tools), f"I look it up.\n{CALL}")
    assert not takes(grammar_of(tools), CALL.replace("Paris", "London"))
    create(tools, tools=[{**WEATHER, "strict": None}])
    assert tools.engine.requests[-1].grammar is None


def test_an_answer_of_a_form_may_be_a_call_instead(tools: Service) -> None:
    create(tools, text={"format": {"type": "json_object"}})
    assert takes(grammar_of(tools), '{"sunny": true}')
    assert takes(grammar_of(tools), CALL)


def test_only_one_call_is_told_if_only_one_is_wanted(tools: Service) -> None:
    tools.says(f"{CALL}\n{CLOCK_CALL}")
    assert [call.name for call in calls_of(create(tools, parallel_tool_calls=False))] == ["get_weather"]


def test_calls_are_made_in_the_background_too(tools: Service) -> None:
    tools.says(CALL)
    response = create(tools, background=True)
    while response.status in ("queued", "in_progress"):
        response = tools.openai.responses.retrieve(response.id)
    assert [call.name for call in calls_of(response)] == ["get_weather"]


@pytest.mark.parametrize("chunk", [1, 4, 100])
def test_log_probabilities_are_those_of_the_messages_around_a_call(tools: Service, chunk: int) -> None:
    tools.says(f"Well now.\n{CALL}\nThat is all.", chunk=chunk)
    response = create(tools, include=["message.output_text.logprobs"])
    texts: list[str] = []
    for item in response.output:
        if item.type == "message":
            assert item.content[0].type == "output_text"
            texts.append("".join(token.token for token in item.content[0].logprobs or []).strip())
    assert texts == ["Well now.", "That is all."]


@pytest.mark.parametrize("name", FORMATS)
def test_openai_s_client_parses_calls_of_every_format_whole_and_streamed(serve_tools: ServeTools, name: str) -> None:
    with serve_tools(name) as service:
        service.obeys()
        function: Any = openai.pydantic_function_tool(GetWeather)["function"]
        wanted: Any = {"model": MODEL, "input": ASK, "tool_choice": "required"}
        wanted["tools"] = [{"type": "function", **function}]
        answer = service.openai.responses.parse(**wanted)
        assert answer.output
        for item in answer.output:
            assert item.type == "function_call"
            assert GetWeather.model_validate(item.parsed_arguments)
        with service.openai.responses.stream(**wanted) as events:
            snapshots = [event for event in events if event.type == "response.function_call_arguments.delta"]
            final = events.get_final_response()
        assert snapshots
        assert snapshots[-1].snapshot in {item.arguments for item in final.output if item.type == "function_call"}
