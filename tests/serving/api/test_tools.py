"""Tool calls, asked for and read with OpenAI's own client."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionChunk
from tokenizers import Tokenizer as ReferenceTokenizer

from serving.text.tokenizer import ModelTokenizer
from serving.tools.formats import TOOL_FORMATS
from tests.serving.api.conftest import ServeTools
from tests.serving.api.service import MODEL, Server, Service
from tests.serving.api.weather import CALL, CLOCK_CALL, DESCRIPTION, FORMATS, NAME, QUESTION, SCHEMA, GetWeather
from tests.serving.obedient import takes

ASK: Any = [{"role": "user", "content": QUESTION}]
WEATHER: Any = {
    "type": "function",
    "function": {"name": NAME, "description": DESCRIPTION, "parameters": SCHEMA},
}
CLOCK: Any = {"type": "function", "function": {"name": "clock"}}
TOOLS: Any = [WEATHER, CLOCK]


def ask(service: Service, **parameters: Any) -> Any:
    return service.openai.chat.completions.create(
        **{"model": MODEL, "messages": ASK, "tools": TOOLS, **parameters}
    ).choices[0]


def chunks_of(service: Service, **parameters: Any) -> list[ChatCompletionChunk]:
    with service.openai.chat.completions.create(
        model=MODEL, messages=ASK, tools=TOOLS, stream=True, **parameters
    ) as chunks:
        return list(chunks)


def error_of(service: Service, **body: Any) -> dict[str, Any]:
    answer = service.http.post("/v1/chat/completions", json={"model": MODEL, "messages": ASK, **body})
    assert answer.status_code == 400, answer.text
    assert service.engine.requests == [], "a refused request reached the engine"
    return answer.json()["error"]


def test_a_call_is_a_typed_object_and_the_reason_says_so(tools: Service) -> None:
    tools.says(f"I look it up.\n{CALL}")
    choice = ask(tools)
    (call,) = choice.message.tool_calls
    assert (call.type, call.function.name) == ("function", "get_weather")
    assert json.loads(call.function.arguments) == {"city": "Paris"}
    assert call.id.startswith("call_")
    assert choice.message.content == "I look it up."
    assert choice.finish_reason == "tool_calls"


def test_an_answer_of_calls_alone_has_no_content_and_one_without_has_no_calls(tools: Service) -> None:
    tools.says(f"{CALL}\n{CLOCK_CALL}")
    calls = ask(tools).message
    assert calls.content is None
    assert [call.function.name for call in calls.tool_calls] == ["get_weather", "clock"]
    assert len({call.id for call in calls.tool_calls}) == 2
    tools.says("It is sunny.")
    choice = ask(tools)
    assert (choice.message.content, choice.message.tool_calls, choice.finish_reason) == ("It is sunny.", None, "stop")


@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_a_stream_has_the_name_first_and_then_the_arguments_piece_by_piece(tools: Service, chunk: int) -> None:
    tools.says(f"Well. {CALL} {CLOCK_CALL}", chunk=chunk)
    chunks = chunks_of(tools)
    deltas = [call for part in chunks for call in part.choices[0].delta.tool_calls or []]
    assert [(delta.index, delta.function and delta.function.name) for delta in deltas if delta.id] == [
        (0, "get_weather"),
        (1, "clock"),
    ]
    assert all(delta.type == "function" for delta in deltas if delta.id)
    arguments = ["", ""]
    for delta in deltas:
        assert delta.function is not None
        arguments[delta.index] += delta.function.arguments or ""
    assert arguments == ['{"city": "Paris"}', "{}"]
    assert "".join(part.choices[0].delta.content or "" for part in chunks) == "Well."
    assert chunks[-1].choices[0].finish_reason == "tool_calls"
    assert [part.choices[0].delta.role for part in chunks] == ["assistant", *[None] * (len(chunks) - 1)]


def test_what_only_looks_like_a_call_is_text(tools: Service) -> None:
    text = '<tool_call>{"name": "launch_rockets", "arguments": {}}</tool_call>'
    tools.says(text)
    choice = ask(tools)
    assert (choice.message.content, choice.finish_reason) == (text, "stop")
    assert "".join(part.choices[0].delta.content or "" for part in chunks_of(tools)) == text


def test_a_call_that_meets_the_limit_is_no_finished_call(tools: Service) -> None:
    tools.says(CALL[:60], finish_reason="length")
    assert ask(tools).finish_reason == "length"


def test_markers_that_are_special_tokens_are_seen(serve_tools: ServeTools) -> None:
    with serve_tools("mistral") as service:
        service.says('[TOOL_CALLS] [{"name": "get_weather", "arguments": {"city": "Rome"}}]')
        assert service.tokenizer.convert_tokens_to_ids("[TOOL_CALLS]") in service.tokens("[TOOL_CALLS]")
        (call,) = ask(service).message.tool_calls
        assert json.loads(call.function.arguments) == {"city": "Rome"}
        assert len(call.id) == 9, "Mistral's templates take no other ids"


def test_the_model_is_told_of_the_tools_and_of_earlier_calls(tools: Service) -> None:
    messages = [
        *ASK,
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Rome"}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "1", "content": [{"type": "text", "text": "Sunny"}]},
    ]
    ask(tools, messages=messages)
    prompt = tools.prompt_of()
    assert '"description": "The weather in a city."' in prompt
    assert '<|im_start|>assistant\nget_weather({"city": "Rome"})<|im_end|>' in prompt
    assert "<|im_start|>tool\nSunny<|im_end|>" in prompt


def test_an_answer_can_be_sent_back_as_a_turn(tools: Service) -> None:
    tools.says(CALL)
    message = ask(tools).message
    result: Any = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "Sunny"}
    tools.says("Sunny it is.")
    assert ask(tools, messages=[*ASK, message, result]).message.content == "Sunny it is."
    assert ask(tools, messages=[*ASK, message.model_dump(), result]).message.content == "Sunny it is."


def test_no_tools_are_told_of_if_none_may_be_called(tools: Service) -> None:
    tools.says(CALL)
    choice = ask(tools, tool_choice="none")
    assert choice.message.content == CALL
    assert "get_weather" not in tools.prompt_of()


def grammar_of(service: Service) -> str:
    grammar = service.engine.requests[-1].grammar
    assert grammar is not None
    return grammar


def test_a_demand_for_a_call_leaves_nothing_else_to_say(tools: Service) -> None:
    ask(tools, tool_choice="required")
    grammar = grammar_of(tools)
    assert takes(grammar, CALL)
    assert takes(grammar, f"{CALL}\n{CLOCK_CALL}")
    assert not takes(grammar, "It is sunny.")
    assert not takes(grammar, CALL.replace("Paris", "London"))
    ask(tools, tool_choice="required", parallel_tool_calls=False)
    assert not takes(grammar_of(tools), f"{CALL}\n{CLOCK_CALL}")


def test_a_demand_for_one_function_leaves_only_that(tools: Service) -> None:
    ask(tools, tool_choice={"type": "function", "function": {"name": "clock"}})
    assert takes(grammar_of(tools), CLOCK_CALL)
    assert not takes(grammar_of(tools), CALL)


def test_a_choice_of_allowed_tools_hides_the_others(tools: Service) -> None:
    allowed = {"mode": "required", "tools": [{"type": "function", "function": {"name": "clock"}}]}
    ask(tools, tool_choice={"type": "allowed_tools", "allowed_tools": allowed})
    assert not takes(grammar_of(tools), CALL)
    assert "get_weather" not in tools.prompt_of()
    tools.says(CALL)
    choice = ask(tools, tool_choice={"type": "allowed_tools", "allowed_tools": {**allowed, "mode": "auto"}})
    assert choice.message.tool_calls is None


def test_a_strict_function_s_arguments_fit_even_where_the_model_decides(tools: Service) -> None:
    strict = {**WEATHER, "function": {**WEATHER["function"], "strict": True}}
    ask(tools, tools=[strict, CLOCK])
    grammar = grammar_of(tools)
    assert takes(grammar, "It is sunny.")
    assert takes(grammar, f"I look it up.\n{CALL}")
    assert not takes(grammar, CALL.replace("Paris", "London"))
    ask(tools)
    assert tools.engine.requests[-1].grammar is None, "without strict the model is free"


def test_an_answer_of_a_form_may_be_a_call_instead(tools: Service) -> None:
    ask(tools, response_format={"type": "json_object"})
    assert takes(grammar_of(tools), '{"sunny": true}')
    assert takes(grammar_of(tools), CALL)
    assert not takes(grammar_of(tools), "It is sunny.")


def test_only_one_call_is_told_if_only_one_is_wanted(tools: Service) -> None:
    tools.says(f"{CALL}\n{CLOCK_CALL}")
    choice = ask(tools, parallel_tool_calls=False)
    assert [call.function.name for call in choice.message.tool_calls] == ["get_weather"]


@pytest.mark.parametrize("name", FORMATS)
def test_openai_s_client_parses_calls_of_every_format_whole_and_streamed(serve_tools: ServeTools, name: str) -> None:
    with serve_tools(name) as service:
        service.obeys()
        wanted: Any = {"model": MODEL, "messages": ASK, "tool_choice": "required"}
        function = openai.pydantic_function_tool(GetWeather)
        answer = service.openai.chat.completions.parse(**wanted, tools=[function])
        assert answer.choices[0].message.tool_calls
        for call in answer.choices[0].message.tool_calls:
            assert isinstance(call.function.parsed_arguments, GetWeather)
        with service.openai.chat.completions.stream(**wanted, tools=[function]) as stream:
            kinds = {event.type for event in stream}
            final = stream.get_final_completion().choices[0]
        assert "tool_calls.function.arguments.done" in kinds
        assert final.message.tool_calls
        assert isinstance(final.message.tool_calls[0].function.parsed_arguments, GetWeather)
        assert final.finish_reason == "tool_calls"


def function(name: str = "f", **fields: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **fields}}


DEEP: dict[str, Any] = {"type": "object"}
for _ in range(64):
    DEEP = {"anyOf": [DEEP]}
LARGE = {"type": "object", "description": "a" * 10_000}


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"tool_choice": "required"}, "tool_choice", "invalid_value"),
        ({"tools": TOOLS, "tool_choice": function("nobody")}, "tool_choice", "invalid_value"),
        ({"tools": TOOLS, "tool_choice": "perhaps"}, "tool_choice", "invalid_value"),
        ({"tools": [function(), function()]}, "tools", "invalid_value"),
        ({"tools": [{"type": "web_search"}]}, "tools[0]", "unsupported_value"),
        ({"tools": [function("no spaces")]}, "tools[0].function.name", "invalid_value"),
        ({"tools": [function(strickt=True)]}, "tools[0].function.strickt", "unknown_parameter"),
        ({"tools": [function(parameters={"type": "array"})]}, "tools", "invalid_schema"),
        (
            {"tools": [function(parameters={"properties": {"a": {"type": "nonsense"}}})], "tool_choice": "required"},
            "tools",
            "invalid_schema",
        ),
        ({"tools": [function(strict=True, parameters={"not": {}})]}, "tools", "invalid_schema"),
        ({"tools": [function(parameters=DEEP)]}, "tools", "invalid_schema"),
        (
            {"tools": [function(f"f{number}", parameters=LARGE) for number in range(30)]},
            "tools",
            "invalid_schema",
        ),
        ({"functions": [{"name": "f"}]}, "functions", "unsupported_parameter"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_tools_that_cannot_be_used_are_refused(tools: Service, body: dict[str, Any], param: str, code: str) -> None:
    error = error_of(tools, **body)
    assert (error["param"], error["code"]) == (param, code), error


@pytest.mark.parametrize(
    "parameters",
    [
        {"properties": 5},
        {"properties": {"a": 5}},
        {"properties": {}, "required": 3},
        {"properties": {}, "required": [3]},
    ],
    ids=str,
)
@pytest.mark.parametrize("strict", [True, False])
def test_parameters_that_are_no_schema_are_refused_whether_they_hold_or_not(
    serve_tools: ServeTools, parameters: Any, strict: bool
) -> None:
    with serve_tools("qwen3_coder") as service:
        error = error_of(service, tools=[function(parameters=parameters, strict=strict)])
        assert (error["param"], error["code"]) == ("tools", "invalid_schema"), error


CALLED = {"id": "1", "type": "function", "function": {"name": "clock", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("messages", "param", "says"),
    [
        ([*ASK, {"role": "tool", "tool_call_id": "1", "content": "12:00"}], "messages", "does not make"),
        (
            [*ASK, {"role": "assistant", "tool_calls": [CALLED]}, {"role": "tool", "tool_call_id": "2", "content": ""}],
            "messages",
            "'2'",
        ),
        ([*ASK, {"role": "assistant", "content": None}], "messages", "neither content nor tool_calls"),
        ([{"role": "tool", "content": "12:00"}], "messages[0].tool_call_id", "Missing"),
        ([{"role": "function", "name": "clock", "content": "12:00"}], "messages[0]", "deprecated"),
        (
            [{"role": "assistant", "tool_calls": [{**CALLED, "function": {"name": "clock", "arguments": "{"}}]}],
            "messages[0].tool_calls[0].function.arguments",
            "JSON",
        ),
        (
            [{"role": "assistant", "tool_calls": [{**CALLED, "function": {"name": "clock", "arguments": "[]"}}]}],
            "messages[0].tool_calls[0].function.arguments",
            "object",
        ),
    ],
    ids=str,
)
def test_turns_that_do_not_fit_together_are_refused(tools: Service, messages: list[Any], param: str, says: str) -> None:
    error = error_of(tools, tools=TOOLS, messages=messages)
    assert error["param"] == param
    assert says in error["message"]


def test_a_model_whose_calls_cannot_be_read_takes_no_tools(serve_tools: ServeTools) -> None:
    with serve_tools(None) as service:
        error = error_of(service, tools=TOOLS)
    assert (error["param"], error["code"]) == ("tools", "tools_not_supported")


def test_a_template_that_leaves_tools_out_is_told(
    server: Server, smollm2_tokenizer: ModelTokenizer, reference_tokenizer: ReferenceTokenizer
) -> None:
    with server.serving(smollm2_tokenizer, reference_tokenizer, tools=TOOL_FORMATS["hermes"]) as service:
        error = error_of(service, tools=TOOLS)
        assert (error["param"], error["code"]) == ("tools", "tools_not_supported")
        assert "chat template" in error["message"]


def test_tokens_of_tools_are_counted_as_they_are_used(tools: Service) -> None:
    ask(tools)
    counted = tools.http.post("/tokenize", json={"messages": ASK, "tools": TOOLS}).json()
    assert counted["tokens"] == list(tools.engine.requests[0].prompt_token_ids)


def test_each_of_several_choices_has_calls_of_its_own(tools: Service) -> None:
    tools.says(CALL)
    answer = tools.openai.chat.completions.create(model=MODEL, messages=ASK, tools=TOOLS, n=2)
    calls = [call for choice in answer.choices for call in choice.message.tool_calls or []]
    assert len({call.id for call in calls}) == 2


def test_an_old_client_that_offers_no_tools_is_answered(tools: Service) -> None:
    tools.says("Hello")
    assert ask(tools, tools=[], tool_choice="auto", parallel_tool_calls=True).message.content == "Hello"
