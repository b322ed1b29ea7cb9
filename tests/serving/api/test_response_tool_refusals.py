"""What of tools on /v1/responses is refused, and on which parameter."""

from __future__ import annotations

from typing import Any

import pytest

from tests.serving.api.conftest import ServeTools
from tests.serving.api.service import MODEL, Service
from tests.serving.api.test_response_tools import CLOCK, TOOLS, chat_tool
from tests.serving.api.weather import QUESTION

NAMED_TWICE: Any = [CLOCK, CLOCK]
OUTPUT: Any = {"type": "function_call_output", "call_id": "call_1", "output": "a"}
CALLED: Any = {"type": "function_call", "call_id": "call_1", "name": "clock", "arguments": "{}"}


def error_of(service: Service, **body: Any) -> dict[str, Any]:
    answer = service.http.post("/v1/responses", json={"model": MODEL, "input": QUESTION, **body})
    assert answer.status_code == 400, answer.text
    assert service.engine.requests == [], "a refused request reached the engine"
    return answer.json()["error"]


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"tools": [{"type": "web_search"}]}, "tools[0]", "unsupported_value"),
        ({"tools": [CLOCK, {"type": "mcp", "server_label": "a"}]}, "tools[1]", "unsupported_value"),
        ({"tools": [{"type": "custom", "name": "f"}]}, "tools[0]", "unsupported_value"),
        ({"tools": [chat_tool(CLOCK)]}, "tools[0].name", "missing_required_parameter"),
        ({"tools": [{"name": "f"}]}, "tools[0].type", "missing_required_parameter"),
        ({"tools": [{**CLOCK, "defer_loading": True}]}, "tools[0].defer_loading", "unsupported_parameter"),
        ({"tools": [{**CLOCK, "strickt": True}]}, "tools[0].strickt", "unknown_parameter"),
        ({"tools": [{**CLOCK, "name": "no spaces"}]}, "tools[0].name", "invalid_value"),
        ({"tools": [{**CLOCK, "parameters": {"type": "array"}}]}, "tools", "invalid_schema"),
        ({"tools": [{**CLOCK, "strict": True, "parameters": {"not": {}}}]}, "tools", "invalid_schema"),
        ({"tools": NAMED_TWICE}, "tools", "invalid_value"),
        ({"tool_choice": "required"}, "tool_choice", "invalid_value"),
        ({"tools": TOOLS, "tool_choice": {"type": "function", "name": "nobody"}}, "tool_choice", "invalid_value"),
        ({"tools": TOOLS, "tool_choice": {"type": "web_search_preview"}}, "tool_choice", "unsupported_value"),
        ({"tools": TOOLS, "tool_choice": "perhaps"}, "tool_choice", "invalid_value"),
        (
            {"tools": TOOLS, "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "mcp"}]}},
            "tool_choice.tools[0]",
            "unsupported_value",
        ),
        ({"input": [OUTPUT]}, "input[0].call_id", "invalid_value"),
        ({"input": [CALLED, OUTPUT, OUTPUT]}, "input[2].call_id", "invalid_value"),
        (
            {"input": [CALLED, {**OUTPUT, "output": [{"type": "input_image"}]}]},
            "input[1].output[0]",
            "unsupported_value",
        ),
        ({"input": [{**CALLED, "arguments": {}}]}, "input[0].arguments", "invalid_type"),
        ({"input": [{**CALLED, "namespace": "a"}]}, "input[0].namespace", "unsupported_parameter"),
        ({"input": [{"type": "custom_tool_call", "call_id": "1"}]}, "input[0]", "unsupported_value"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_what_cannot_be_called_is_refused(tools: Service, body: dict[str, Any], param: str, code: str) -> None:
    error = error_of(tools, **body)
    assert (error["param"], error["code"]) == (param, code), error


def test_a_model_whose_calls_cannot_be_read_takes_no_tools(serve_tools: ServeTools) -> None:
    with serve_tools(None) as service:
        error = error_of(service, tools=TOOLS)
    assert (error["param"], error["code"]) == ("tools", "tools_not_supported")
