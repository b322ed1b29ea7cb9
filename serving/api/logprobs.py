"""Log probabilities of an answer's tokens, in OpenAI's two shapes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pydantic import BaseModel

from serving.text.answer_text import TextToken

_LEAST = -9999.0
"""What OpenAI says of a token that is hardly possible; JSON has no infinity."""

TokenBytes = Callable[[int], bytes]
"""What a token stands for, as in `serving.text.tokenizer.Tokenizer`."""


class TopLogprob(BaseModel):
    token: str
    """Text of the token; bytes that are no whole character are U+FFFD in it."""
    bytes: list[int]
    logprob: float


class TokenLogprob(TopLogprob):
    top_logprobs: list[TopLogprob]
    """The likeliest tokens, falling; the chosen one need not be among them."""


class ChatLogprobs(BaseModel):
    content: list[TokenLogprob]
    refusal: None = None


class CompletionLogprobs(BaseModel):
    """Four lists with an element for each token."""

    text_offset: list[int]
    token_logprobs: list[float]
    tokens: list[str]
    top_logprobs: list[dict[str, float]]


def chat_logprobs(tokens: Sequence[TextToken], token_bytes: TokenBytes) -> ChatLogprobs:
    """Sets every field, since streams leave out what was not set."""
    return ChatLogprobs(
        content=[_with_likeliest(token, token_bytes) for token in tokens],
        refusal=None,
    )


def completion_logprobs(tokens: Sequence[TextToken], token_bytes: TokenBytes) -> CompletionLogprobs:
    """The chosen token is always among the likeliest, as OpenAI has it."""
    return CompletionLogprobs(
        text_offset=[token.offset for token in tokens],
        token_logprobs=[_finite(token.logprobs.logprob) for token in tokens],
        tokens=[_text(token_bytes(token.token_id)) for token in tokens],
        top_logprobs=[_by_text(token, token_bytes) for token in tokens],
    )


def _with_likeliest(token: TextToken, token_bytes: TokenBytes) -> TokenLogprob:
    chosen = _one(token.token_id, token.logprobs.logprob, token_bytes)
    return TokenLogprob(
        token=chosen.token,
        bytes=chosen.bytes,
        logprob=chosen.logprob,
        top_logprobs=[_one(token_id, logprob, token_bytes) for token_id, logprob in token.logprobs.top],
    )


def _by_text(token: TextToken, token_bytes: TokenBytes) -> dict[str, float]:
    told: dict[str, float] = {}
    for token_id, logprob in (*token.logprobs.top, (token.token_id, token.logprobs.logprob)):
        # Parts of characters may have the same text; the likeliest comes first.
        told.setdefault(_text(token_bytes(token_id)), _finite(logprob))
    return told


def _one(token_id: int, logprob: float, token_bytes: TokenBytes) -> TopLogprob:
    spoken = token_bytes(token_id)
    return TopLogprob(token=_text(spoken), bytes=list(spoken), logprob=_finite(logprob))


def _text(spoken: bytes) -> str:
    return spoken.decode(errors="replace")


def _finite(logprob: float) -> float:
    return max(logprob, _LEAST)
