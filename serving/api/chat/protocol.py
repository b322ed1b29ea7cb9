"""The wire of /chat: the bodies of KAITO's transformers runtime, with nothing ignored in silence."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel

from serving.api.chat_completions.messages import Messages
from serving.api.fields import (
    ApiModel,
    MaxTokens,
    NoEffect,
    OneOrMoreTokenIds,
    RepetitionPenalty,
    Temperature,
    Text,
    TopK,
    TopP,
    Unsupported,
)

_NO_BEAMS = "answers are sampled, not searched for"


class GenerateKwargs(ApiModel):
    """Arguments of transformers' `generate`, as far as this service has them."""

    max_length: MaxTokens | None = None
    """Tokens of prompt and answer together; 200 if neither this nor max_new_tokens is given, as in KAITO."""
    max_new_tokens: MaxTokens | None = None
    min_length: Annotated[int | None, Unsupported(0, because="an answer ends when the model ends it")] = None
    do_sample: bool | None = None
    """False: the likeliest token each time, whatever the temperature."""
    early_stopping: Annotated[bool | None, Unsupported(False, because=_NO_BEAMS)] = None
    num_beams: Annotated[int | None, Unsupported(1, because=_NO_BEAMS)] = None
    temperature: Temperature | None = None
    top_k: TopK | None = None
    top_p: TopP | None = None
    typical_p: Annotated[float | None, Unsupported(1, because="there is no typical sampling")] = None
    repetition_penalty: RepetitionPenalty | None = None
    pad_token_id: Annotated[int | None, NoEffect] = None
    eos_token_id: OneOrMoreTokenIds | None = None
    """Tokens that end the answer, in place of the model's own."""


class ChatRequest(ApiModel):
    prompt: Text | None = None
    """A text to continue, as it is: no chat template. Either this or `messages`."""
    return_full_text: bool | None = None
    """None, true: the result begins with the prompt, as in KAITO. A conversation's result is the answer alone."""
    clean_up_tokenization_spaces: Annotated[bool | None, Unsupported(False, because="text is not altered")] = None
    prefix: Text | None = None
    """Put before the prompt, but not into the result."""
    handle_long_generation: Annotated[str | None, Unsupported(because="a prompt is not cut")] = None
    generate_kwargs: GenerateKwargs | None = None
    messages: Messages | None = None
    """A conversation, which is answered by the model's chat template."""


class ChatResult(BaseModel):
    Result: str
