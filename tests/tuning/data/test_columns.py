"""Which columns are taken for what, and what rows they make."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from tests.tuning.data.yard import Yard, jsonl, report_of

ASK = [{"role": "user", "content": "Hi"}]
REPLY = [{"role": "assistant", "content": "Ahoy"}]
TALK = [*ASK, *REPLY]


def pair(prompt: str, completion: str) -> dict[str, Any]:
    return {
        "prompt": [{"role": "user", "content": prompt}],
        "completion": [{"role": "assistant", "content": completion}],
    }


GUESSES: dict[str, tuple[dict[str, Any], str, dict[str, Any]]] = {
    "messages": ({"messages": TALK, "text": "x"}, "conversation", {"messages": TALK}),
    "ShareGPT": (
        {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Ahoy"}]},
        "conversation",
        {"messages": TALK},
    ),
    "prompt and completion": ({"prompt": "Hi", "completion": "Ahoy"}, "completion", pair("Hi", "Ahoy")),
    "both as messages": (
        {"prompt": ASK, "completion": REPLY},
        "completion",
        {"prompt": ASK, "completion": REPLY},
    ),
    "Alpaca": (
        {"instruction": "Translate", "input": "Hi", "output": "Ahoy", "text": "x"},
        "completion",
        pair("Translate\n\nHi", "Ahoy"),
    ),
    "Alpaca without input": (
        {"instruction": "Greet", "input": "", "output": "Ahoy"},
        "completion",
        pair("Greet", "Ahoy"),
    ),
    "Dolly": (
        {"instruction": "Who?", "context": "Bob.", "response": "Bob", "category": "qa"},
        "completion",
        pair("Who?\n\nBob.", "Bob"),
    ),
    "question and answer": ({"Question": "2+2", "Answer": 4}, "completion", pair("2+2", "4")),
    "context and response": ({"context": "Hi", "response": "Ahoy"}, "completion", pair("Hi", "Ahoy")),
    "text": ({"text": "Ahoy", "id": 3}, "text", {"text": "Ahoy"}),
}


@pytest.mark.parametrize("case", GUESSES)
def test_columns_are_known_by_their_names(yard: Yard, case: str) -> None:
    row, kind, expected = GUESSES[case]
    data = yard.loaded("a.jsonl", jsonl(row))
    assert data.kind == kind
    assert data.train == (expected,)
    assert "called" in report_of(data)["columns"]["why"]


@pytest.mark.parametrize(
    ("settings", "kind", "expected"),
    [
        ({"messages_column": "talk"}, "conversation", {"messages": TALK}),
        ({"context_column": "q", "response_column": "a"}, "completion", pair("Why?", "So.")),
        ({"response_column": "a"}, "text", {"text": "So."}),
    ],
)
def test_settings_name_columns(yard: Yard, settings: dict[str, str], kind: str, expected: dict[str, Any]) -> None:
    row = {"talk": TALK, "q": "Why?", "a": "So.", "prompt": "not", "completion": "these"}
    data = yard.loaded("a.jsonl", jsonl(row), settings)
    assert (data.kind, data.train) == (kind, (expected,))
    assert next(iter(settings)) in report_of(data)["columns"]["why"]


@pytest.mark.parametrize("option", ["messages_column", "context_column", "response_column"])
def test_a_named_column_that_is_missing_is_told_with_those_there_are(yard: Yard, option: str) -> None:
    error = yard.refused({"directory": str(yard.file("a.csv", "q,a\n1,2\n")), option: "answer"})
    assert error.reason == "DataColumnsUnknown"
    assert f"data.{option} is 'answer'" in error.message
    assert "the columns 'q', 'a'" in error.message


def test_a_question_column_needs_one_with_the_answer(yard: Yard) -> None:
    error = yard.refused({"directory": str(yard.file("a.csv", "q,a\n1,2\n")), "context_column": "q"})
    assert "response_column is not" in error.message


def test_another_file_with_other_columns_is_told(yard: Yard) -> None:
    yard.file("d/a.csv", "prompt,completion\n1,2\n")
    yard.file("d/b.csv", "question,answer\n1,2\n")
    error = yard.refused({"directory": str(yard.root / "d")})
    assert error.reason == "DataColumnsUnknown"
    assert "d/b.csv has no column 'prompt'" in error.message


def test_a_conversation_may_stand_in_csv_as_json(yard: Yard) -> None:
    quoted = json.dumps(TALK).replace('"', '""')
    assert yard.loaded("a.csv", f'messages\n"{quoted}"\n').train == ({"messages": TALK},)


def test_content_may_be_parts_of_text(yard: Yard) -> None:
    parts = [{"type": "text", "text": "H"}, {"type": "text", "text": "i"}]
    data = yard.loaded("a.jsonl", jsonl({"messages": [{"role": "user", "content": parts}, *REPLY]}))
    assert data.train == ({"messages": TALK},)


BROKEN: dict[str, tuple[object, str]] = {
    "a role nobody has": ([{"role": "pirate", "content": "Arr"}, *REPLY], "message 1 of messages is from 'pirate'"),
    "no role": ([{"content": "Hi"}, *REPLY], "message 1 of messages has no role"),
    "no content": ([{"role": "user"}, *REPLY], "message 1 of messages has no content"),
    "the user last": ([*TALK, *ASK], "the last message is from user"),
    "a text": ("Hi there", "messages is str and not a list of messages"),
    "texts": (["Hi", "Ahoy"], "message 1 of messages is str"),
    "a number as content": ([{"role": "user", "content": {"a": 1}}, *REPLY], "is dict and not text"),
    "an image": (
        [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}, *REPLY],
        "has a part that is no text",
    ),
    "a call of a tool": (
        [*ASK, {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}],
        "message 2 of messages calls tools",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_conversation_that_is_none_is_told_with_its_row(yard: Yard, case: str) -> None:
    said, told = BROKEN[case]
    path = yard.file("a.jsonl", jsonl({"messages": TALK}, {"messages": said}))
    error = yard.refused({"directory": str(path)})
    assert error.reason == "DataRowBroken"
    assert "a.jsonl, row 2: " in error.message
    assert told in error.message


def test_without_a_chat_template_questions_are_plain_and_conversations_refused(yard: Yard) -> None:
    yard.tokenizer = copy.deepcopy(yard.tokenizer)
    yard.tokenizer.chat_template = None
    row = {"prompt": "Hi", "completion": "Ahoy"}
    assert yard.loaded("a.jsonl", jsonl(row)).train == (row,)
    path = yard.file("b.jsonl", jsonl({"messages": TALK}))
    assert yard.refused({"directory": str(path)}).reason == "ChatTemplateMissing"
    own = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    assert yard.load({"directory": str(path)}, chat_template=own).kind == "conversation"
    assert yard.load({"directory": str(path)}, chat_template=str(yard.file("t.jinja", own))).kind == "conversation"
    assert yard.loaded("a.jsonl", jsonl(row), chat_template=own).train == (pair("Hi", "Ahoy"),)


@pytest.mark.parametrize(
    ("template", "reason", "told"),
    [
        ("{% for %}", "ChatTemplateBroken", "line 1"),
        ("/no/such/template", "ChatTemplateMissing", "/no/such/template"),
        ("{{ raise_exception('no system here') }}", "DataRowBroken", "rows 1, 2"),
    ],
)
def test_a_chat_template_that_cannot_be_used_is_told(yard: Yard, template: str, reason: str, told: str) -> None:
    path = yard.file("a.jsonl", jsonl({"messages": TALK}, {"messages": TALK}))
    error = yard.refused({"directory": str(path)}, chat_template=template)
    assert error.reason == reason
    assert told in error.message


def test_messages_as_a_question_need_a_chat_template(yard: Yard) -> None:
    yard.tokenizer = copy.deepcopy(yard.tokenizer)
    yard.tokenizer.chat_template = None
    error = yard.refused({"directory": str(yard.file("a.jsonl", jsonl({"prompt": ASK, "completion": REPLY})))})
    assert "row 1: prompt has messages" in error.message
