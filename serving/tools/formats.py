"""The formats of tool calls, by the names that presets and vLLM have for their parsers."""

from __future__ import annotations

from collections.abc import Mapping

from serving.tools.format import ToolFormat
from serving.tools.hermes import Hermes
from serving.tools.llama3_json import Llama3Json
from serving.tools.mistral import Mistral
from serving.tools.qwen3_coder import Qwen3Coder

TOOL_FORMATS: Mapping[str, ToolFormat] = {
    "hermes": Hermes(),
    "llama3_json": Llama3Json(),
    "mistral": Mistral(),
    "qwen3_coder": Qwen3Coder(),
}
