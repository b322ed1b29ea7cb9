"""The smoke prompt: the last step before a workspace is called ready."""

from __future__ import annotations

import time

import httpx

PROMPT = "The capital of France is"
_TOKENS = 4
_SECONDS = 120


class SmokeFailed(Exception):
    """The endpoint answered the smoke prompt with an error, or with nothing."""


def ask(endpoint: str, model: str) -> float:
    """Ask the model to go on with a sentence; the seconds that the answer took. `endpoint` is the OpenAI base URL."""
    body = {"model": model, "prompt": PROMPT, "max_tokens": _TOKENS, "temperature": 0}
    begun = time.monotonic()
    try:
        response = httpx.post(f"{endpoint}/completions", json=body, timeout=_SECONDS, trust_env=False)
    except httpx.HTTPError as error:
        raise SmokeFailed(f"no answer from {endpoint}: {error}") from error
    if response.is_error:
        raise SmokeFailed(f"{endpoint} answered {response.status_code}: {response.text[:300]}")
    if not response.json()["choices"][0]["text"].strip():
        raise SmokeFailed(f"{model} answered the smoke prompt with nothing")
    return time.monotonic() - begun
