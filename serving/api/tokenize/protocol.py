"""The wire of /tokenize, as vLLM has it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel

from serving.api.chat_completions.messages import Messages
from serving.api.chat_completions.tools import Tools
from serving.api.fields import ApiModel, JsonObject, Text, Unsupported


class TokenizeRequest(ApiModel):
    model: str | None = None
    """None: the workspace's model."""
    prompt: Text | None = None
    """A text; either this or `messages`."""
    messages: Messages | None = None
    """A conversation, which becomes a prompt by the model's chat template."""
    add_special_tokens: bool | None = None
    """None, true: with the tokens that the model expects around a text. A chat template writes them itself."""
    add_generation_prompt: bool | None = None
    """None, true: the conversation ends with the opening of the model's turn."""
    return_token_strs: bool | None = None
    """The tokens as the vocabulary writes them, too."""
    continue_final_message: Annotated[bool | None, Unsupported(False, because="a conversation is answered")] = None
    chat_template: Annotated[str | None, Unsupported(because="the model's own chat template is used")] = None
    chat_template_kwargs: JsonObject | None = None
    """Variables of the chat template, as in chat completions."""
    mm_processor_kwargs: Annotated[dict[str, Any] | None, Unsupported({}, because="the model reads text only")] = None
    tools: Tools | None = None
    """What the model is told that it may call."""


class Tokenized(BaseModel):
    count: int
    max_model_len: int
    """Tokens of prompt and answer together."""
    tokens: list[int]
    token_strs: list[str] | None
