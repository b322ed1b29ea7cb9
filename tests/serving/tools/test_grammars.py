"""Answers that a format's grammar lets through are calls for its parser: the two say the same of a format."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from serving.grammars import GrammarRefused, grammar_of
from serving.text.reasoning import REASONING_FORMATS
from serving.tools.format import Function
from serving.tools.formats import TOOL_FORMATS
from tests.serving.obedient import takes, walk
from tests.serving.tools.calls import CLOCK, FUNCTIONS, WEATHER, parsed

SHORT = Function(
    name="pick",
    parameters={
        "type": "object",
        "properties": {"colour": {"enum": ["red", "blue"], "type": "string"}, "size": {"$ref": "#/$defs/size"}},
        "required": ["colour", "size"],
        "additionalProperties": False,
        "$defs": {"size": {"type": "integer", "minimum": 1, "maximum": 9}},
    },
)
NO_MARKS: Mapping[str, int] = {}


def grammar(rules: str) -> str:
    return asyncio.run(grammar_of(rules))


@pytest.mark.parametrize("name", TOOL_FORMATS)
def test_whatever_the_grammar_lets_through_is_a_call_that_fits_its_schema(name: str) -> None:
    format_ = TOOL_FORMATS[name]
    functions = (SHORT, CLOCK)
    for many in (True, False):
        calls = grammar(f"start: calls\n{format_.calls(functions, NO_MARKS, many=many)}")
        for seed in range(10):
            answer = parsed(format_, [bytes(walk(calls, seed)).decode()], functions)
            assert answer.text == ""
            assert answer.calls
            assert many or len(answer.calls) == 1
            for called, arguments in answer.values:
                if called == "pick":
                    assert arguments["colour"] in ("red", "blue")
                    assert 1 <= arguments["size"] <= 9
                else:
                    assert (called, arguments) == ("clock", {})


USUAL: Sequence[tuple[str, str]] = [
    ("hermes", '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tool_call>'),
    ("llama3_json", '{"name": "get_weather", "parameters": {"city": "Paris", "days": 3}}'),
    ("mistral", '[TOOL_CALLS] [{"name": "get_weather", "arguments": {"city": "Paris"}}]'),
    (
        "qwen3_coder",
        "<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n</function>\n</tool_call>",
    ),
]


@pytest.mark.parametrize(("name", "text"), USUAL)
def test_a_call_as_the_family_writes_it_is_taken_whether_it_must_call_or_may(name: str, text: str) -> None:
    format_ = TOOL_FORMATS[name]
    must = grammar(f"start: calls\n{format_.calls(FUNCTIONS, NO_MARKS, many=True)}")
    may = grammar(f"start: text_or_calls\n{format_.text_or_calls(FUNCTIONS, NO_MARKS, many=True)}")
    assert takes(must, text)
    assert not takes(must, "No call at all.")
    assert takes(may, text)
    assert takes(may, "No call at all.")
    assert not takes(may, text.replace("get_weather", "get_whether")), "a call of an unknown function came through"
    assert not takes(may, text.replace("city", "town")), "arguments that the schema does not have came through"


def test_special_tokens_stand_for_themselves() -> None:
    marks = {"[TOOL_CALLS]": 9, "[ARGS]": 32}
    assert "<[9]>" in TOOL_FORMATS["mistral"].calls([WEATHER], marks, many=True)
    assert '"get_weather" <[32]> arguments_0' in TOOL_FORMATS["mistral"].calls([WEATHER], marks, many=True)


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"anyOf": [{"type": "object"}]}, "anyOf"),
        ({"type": "object", "properties": {"a": {"type": "string", "pattern": "a+"}}}, "pattern"),
        (
            {"properties": {"a": {"anyOf": [{"type": "string", "maxLength": 2}, {"type": "null"}]}}},
            "maxLength",
        ),
        ({"properties": {"a": {"type": "string", "$ref": "#/$defs/a"}}}, "ref"),
        ({"properties": {"a": {"type": "string", "enum": 7}}}, "'enum' must be a list"),
        ({"properties": {"a": {"type": "string", "enum": [7]}}}, "no text"),
        (
            {
                "properties": {f"p{number}": {"$ref": "#/$defs/a"} for number in range(100)},
                "$defs": {"a": {"enum": ["a" * 10_000]}},
            },
            "too large",
        ),
    ],
)
def test_what_a_format_cannot_be_held_to_is_refused(parameters: Mapping[str, object], says: str) -> None:
    with pytest.raises(GrammarRefused, match=says):
        TOOL_FORMATS["qwen3_coder"].calls([Function(name="f", parameters=parameters)], NO_MARKS, many=True)


CHOICES: Sequence[Mapping[str, Any]] = [
    {"type": ["string", "null"], "enum": ["red", "blue", None]},
    {"anyOf": [{"type": "string", "enum": ["red", "blue"]}, {"type": "null"}]},
    {"anyOf": [{"type": "string", "const": "red"}, {"anyOf": [{"type": "string", "const": "blue"}]}]},
    {"anyOf": [{"type": "string"}], "enum": ["red", "blue"]},
    {"anyOf": [{"type": "string", "enum": ["red", "green", "blue"]}], "enum": ["blue", "red"]},
]


@pytest.mark.parametrize("schema", CHOICES, ids=str)
def test_a_text_is_held_to_what_its_schema_lists_in_branches_too(schema: Mapping[str, Any]) -> None:
    pick = Function(name="pick", parameters={"properties": {"colour": schema}, "required": ["colour"]})
    rules = grammar(f"start: calls\n{TOOL_FORMATS['qwen3_coder'].calls([pick], NO_MARKS, many=False)}")
    call = "<tool_call>\n<function=pick>\n<parameter=colour>\n{}\n</parameter>\n</function>\n</tool_call>"
    assert [text for text in ("red", "blue", "green", "None", "") if takes(rules, call.format(text))] == ["red", "blue"]


def test_a_branch_that_takes_any_text_lets_any_through() -> None:
    schema = {"anyOf": [{"type": "string", "const": "red"}, {"type": "string"}, {"type": "null"}]}
    pick = Function(name="pick", parameters={"properties": {"colour": schema}})
    rules = grammar(f"start: calls\n{TOOL_FORMATS['qwen3_coder'].calls([pick], NO_MARKS, many=False)}")
    text = "<tool_call>\n<function=pick>\n<parameter=colour>\nany\n</parameter>\n</function>\n</tool_call>"
    assert takes(rules, text)


def test_a_choice_of_choices_is_looked_through_once() -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(60):
        schema = {"anyOf": [schema, {"type": "null"}]}
    nested = Function(name="nested", parameters={"properties": {"text": schema}})
    text = "<tool_call>\n<function=nested>\n<parameter=text>\n12\n</parameter>\n</function>\n</tool_call>"
    rules = grammar(f"start: calls\n{TOOL_FORMATS['qwen3_coder'].calls([nested], NO_MARKS, many=False)}")
    assert takes(rules, text)
    assert parsed(TOOL_FORMATS["qwen3_coder"], [text], [nested]).values == [("nested", {"text": "12"})]


@pytest.mark.parametrize("begun", [True, False])
def test_an_answer_may_be_thought_over_first(begun: bool) -> None:
    rules = grammar(REASONING_FORMATS["qwen3"].before_answer(NO_MARKS, begun=begun) + 'answer: "yes" | "no"\n')
    thoughts = 'Is it "maybe"?\n</think>\n\nyes'
    assert takes(rules, thoughts if begun else f"<think>\n{thoughts}")
    assert takes(rules, "yes") is not begun
    assert not takes(rules, f"{'' if begun else '<think>'}no</think>maybe")
