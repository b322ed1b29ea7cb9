"""An engine that takes no special tokens in grammars is not asked for what it would fail at."""

from __future__ import annotations

from typing import Any

from tests.serving.api.conftest import ServeTools
from tests.serving.api.service import MODEL

BODY: dict[str, Any] = {
    "model": MODEL,
    "messages": [{"role": "user", "content": "Hello"}],
    "tools": [{"type": "function", "function": {"name": "clock"}}],
}


def test_a_demanded_call_is_refused_and_a_free_one_is_not(serve_tools: ServeTools) -> None:
    with serve_tools("mistral", marks_in_grammars=False) as service:
        refused = service.http.post("/v1/chat/completions", json={**BODY, "tool_choice": "required"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "tools_not_supported")
        assert service.http.post("/v1/chat/completions", json=BODY).status_code == 200


def test_markers_that_are_text_are_no_hindrance(serve_tools: ServeTools) -> None:
    with serve_tools("hermes", marks_in_grammars=False) as service:
        answer = service.http.post("/v1/chat/completions", json={**BODY, "tool_choice": "required"})
        assert answer.status_code == 200
