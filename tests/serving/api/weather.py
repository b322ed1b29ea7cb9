"""Functions that a model may call, what it writes to call them, and what the caller makes of it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

QUESTION = "What is the weather in Paris?"
NAME = "get_weather"
DESCRIPTION = "The weather in a city."
SCHEMA: Any = {
    "type": "object",
    "properties": {"city": {"enum": ["Paris", "Rome"]}, "days": {"enum": [1, 2]}},
    "required": ["city"],
    "additionalProperties": False,
}
CALL = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tool_call>'
CLOCK_CALL = '<tool_call>\n{"name": "clock", "arguments": {}}\n</tool_call>'
FORMATS = ("hermes", "llama3_json", "mistral", "qwen3_coder")


class GetWeather(BaseModel):
    model_config = ConfigDict(extra="forbid")

    rain: bool
    wind: bool
