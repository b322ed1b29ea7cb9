"""Calls in the text of models, whole and in any pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.tools.formats import TOOL_FORMATS
from tests.serving.tools.calls import WEATHER, cut, parsed

PARIS = {"city": "Paris", "days": 2}
NESTED = {"city": 'a "b" {c} [d] </tool_call> \\ [TOOL_CALLS]', "days": 1}

HERMES = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris", "days": 2}}\n</tool_call>'
HERMES_CLOCK = '<tool_call>{"name": "clock", "arguments": {}}</tool_call>'
LLAMA = '{"name": "get_weather", "parameters": {"city": "Paris", "days": 2}}'
LLAMA_CLOCK = '{"type": "function", "name": "clock", "parameters": {}}'
CODER = (
    "<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n<parameter=days>\n2\n</parameter>\n"
    "</function>\n</tool_call>"
)
CODER_CLOCK = "<tool_call>\n<function=clock>\n</function>\n</tool_call>"
LISTED = '{"name": "get_weather", "arguments": {"city": "Paris", "days": 2}}'

CALLS = [
    ("hermes", HERMES, "", [("get_weather", PARIS)]),
    ("hermes", f"I look it up.\n{HERMES}\n{HERMES_CLOCK}", "I look it up.", [("get_weather", PARIS), ("clock", {})]),
    ("hermes", f"{HERMES_CLOCK} Done. ", "Done. ", [("clock", {})]),
    (
        "hermes",
        '<tool_call>{"arguments": {"city": "Paris", "days": 2}, "name": "get_weather"}</tool_call>',
        "",
        [("get_weather", PARIS)],
    ),
    (
        "hermes",
        '<tool_call>{"name": "get_weather", "arguments": {"city": "a \\"b\\" {c} [d] </tool_call> \\\\ [TOOL_CALLS]", '
        '"days": 1}}</tool_call>',
        "",
        [("get_weather", NESTED)],
    ),
    ("llama3_json", LLAMA, "", [("get_weather", PARIS)]),
    ("llama3_json", f"<|python_tag|>{LLAMA}; {LLAMA_CLOCK}", "", [("get_weather", PARIS), ("clock", {})]),
    ("llama3_json", '\n{"parameters": {}, "name": "clock"}', "", [("clock", {})]),
    ("llama3_json", f"{LLAMA_CLOCK}\n\nThat is it.", "That is it.", [("clock", {})]),
    ("mistral", f"[TOOL_CALLS] [{LISTED}]", "", [("get_weather", PARIS)]),
    (
        "mistral",
        f'Well, [TOOL_CALLS][{LISTED}, {{"name": "clock", "arguments": {{}}, "id": "abcdefghi"}}]',
        "Well,",
        [("get_weather", PARIS), ("clock", {})],
    ),
    ("mistral", '[TOOL_CALLS] [{"arguments": {}, "name": "clock"}]', "", [("clock", {})]),
    (
        "mistral",
        '[TOOL_CALLS]get_weather[ARGS]{"city": "Paris", "days": 2}[TOOL_CALLS]clock[CALL_ID]abc123def[ARGS]{}',
        "",
        [("get_weather", PARIS), ("clock", {})],
    ),
    ("qwen3_coder", CODER, "", [("get_weather", PARIS)]),
    ("qwen3_coder", f"Now:\n\n{CODER}\n{CODER_CLOCK}\n", "Now:", [("get_weather", PARIS), ("clock", {})]),
    (
        "qwen3_coder",
        "<tool_call>\n<function=get_weather>\n<parameter=city>\n12\n</parameter>\n</function></tool_call>",
        "",
        [("get_weather", {"city": "12"})],
    ),
]

NO_CALLS = [
    ("hermes", "Just text, a < b, <tool_box> and <tool"),
    ("hermes", "<tool_call>not JSON</tool_call> and more"),
    ("hermes", '<tool_call>{"name": "unknown", "arguments": {}}</tool_call>'),
    ("hermes", '<tool_call>{"name": "clock", "arguments": "none"}</tool_call>'),
    ("hermes", '<tool_call>{"name": "get_weather", "argu'),
    ("hermes", '<tool_call>{"name": "</tool_call>clock", "arguments": {}}'),
    ("llama3_json", 'Text, then {"name": "clock", "parameters": {}}'),
    ("llama3_json", '{"answer": 42} is the answer'),
    ("llama3_json", '{"name": "unknown", "parameters": {}}'),
    ("llama3_json", '<|python_tag|>print("Hello")'),
    ("llama3_json", '{"name": "clock", "param'),
    ("llama3_json", "<|python"),
    ("mistral", "[TOOL_BOX] is no call"),
    ("mistral", "[TOOL_CALLS] what is this [TOOL_CALLS]"),
    ("mistral", '[TOOL_CALLS] [{"name": "unknown", "arguments": {}}]'),
    ("mistral", '[TOOL_CALLS]unknown[ARGS]{"a": 1}'),
    ("mistral", '[TOOL_CALLS] [{"name": "clo'),
    ("mistral", "[TOOL_CALLS] [1, 2]"),
    ("qwen3_coder", "<tool_call>\n<function=unknown>\n</function>\n</tool_call>"),
    ("qwen3_coder", "<tool_call>\n<function=clock>\nrubbish</function>\n</tool_call>"),
    ("qwen3_coder", "<tool_call>\n<function=get_weather>\n<parameter=city>\nPar"),
    *((name, text) for name in TOOL_FORMATS for text in ("", " ", "Hello,  world! \n", '["a"]')),
]


@pytest.mark.parametrize(("name", "text", "content", "calls"), CALLS)
def test_calls_and_the_text_beside_them_are_told_apart(name: str, text: str, content: str, calls: object) -> None:
    for pieces in ([text], list(text)):
        answer = parsed(TOOL_FORMATS[name], pieces)
        assert (answer.text, answer.values) == (content, calls)


@pytest.mark.parametrize(("name", "text"), NO_CALLS)
def test_what_is_no_call_is_text_to_the_last_character(name: str, text: str) -> None:
    for pieces in ([text], list(text)):
        answer = parsed(TOOL_FORMATS[name], pieces)
        assert (answer.text, answer.calls) == (text, [])


FRAGMENTS = st.sampled_from(
    [
        *(HERMES, HERMES_CLOCK, LLAMA, LLAMA_CLOCK, CODER, CODER_CLOCK, LISTED),
        *("<tool_call>", "</tool_call>", "[TOOL_CALLS]", "[ARGS]", "<|python_tag|>", "</function>", "; ", ", ", "]"),
        *(
            ' {"a": "</tool_call>[TOOL_CALLS]"}',
            '{"name": "clock',
            '", "arguments": {"x": "',
            "clock",
            "<tool",
            " ",
            "\n",
        ),
        *("[", "{", "}", '"', "text ", "\\", "<function=clock>", "<parameter=a>", "é"),
    ]
)


@pytest.mark.parametrize("name", TOOL_FORMATS)
@given(fragments=st.lists(FRAGMENTS, max_size=8), places=st.lists(st.integers(0, 1000), max_size=12))
def test_what_is_found_does_not_depend_on_how_the_text_was_cut(
    name: str, fragments: list[str], places: list[int]
) -> None:
    text = "".join(fragments)
    whole = parsed(TOOL_FORMATS[name], [text])
    assert parsed(TOOL_FORMATS[name], list(text)) == whole
    assert parsed(TOOL_FORMATS[name], cut(text, places)) == whole


@pytest.mark.parametrize(("name", "text", "content", "calls"), CALLS)
def test_a_call_cut_at_any_character_keeps_what_was_told(name: str, text: str, content: str, calls: object) -> None:
    for end in range(len(text)):
        answer = parsed(TOOL_FORMATS[name], [text[:end]])
        assert answer == parsed(TOOL_FORMATS[name], list(text[:end]))


LONG = '{"said": [' + '"}", ' * 4000


@pytest.mark.parametrize(("name", "text"), [("llama3_json", LONG), ("mistral", f"[TOOL_CALLS] [{LONG}")])
def test_an_object_without_end_is_read_once_however_many_pieces_it_has(name: str, text: str) -> None:
    answer = parsed(TOOL_FORMATS[name], list(text))
    assert (answer.text, answer.calls) == (text, [])


def test_text_in_braces_comes_as_soon_as_they_close() -> None:
    parser = TOOL_FORMATS["llama3_json"].parser([WEATHER])
    assert parser.push("{like this") == []
    assert parser.push("} and") == ["{like this} and"]
    assert parser.push(" more") == [" more"]


@pytest.mark.parametrize(("name", "text"), [("hermes", HERMES), ("llama3_json", LLAMA), ("mistral", LISTED)])
def test_arguments_arrive_while_they_are_written(name: str, text: str) -> None:
    parser = TOOL_FORMATS[name].parser([WEATHER])
    text = f"[TOOL_CALLS] [{text}]" if name == "mistral" else text
    pieces = [piece for character in text for piece in parser.push(character)]
    assert len(pieces) > 20, "the arguments came in a few pieces"
