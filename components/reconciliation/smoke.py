"""The smoke prompt: the last step before a workspace is called ready."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import httpx
from tenacity import RetryError, Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

PROMPT = "The capital of France is"
_TOKENS = 4
_ANSWER_SECONDS = 120
_BUSY_SECONDS = 60
"""How long an endpoint may be too busy, or busy with restarting its engine, for one short prompt."""
_BUSY = (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE)


class SmokeFailed(Exception):
    """The endpoint did not answer the smoke prompt with tokens."""


class _Busy(SmokeFailed):
    """It may answer later."""


def ask(endpoint: str, model: str) -> float:
    """Ask the model to go on with a sentence; the seconds that the answer took. `endpoint` is the OpenAI base URL."""
    trying = Retrying(
        stop=stop_after_delay(_BUSY_SECONDS), wait=wait_fixed(1), retry=retry_if_exception_type(_Busy), reraise=False
    )
    try:
        return trying(_ask_once, endpoint, model)
    except RetryError as error:
        raise SmokeFailed(f"{error.last_attempt.exception()}, for {_BUSY_SECONDS} s") from error


def _ask_once(endpoint: str, model: str) -> float:
    body = {"model": model, "prompt": PROMPT, "max_tokens": _TOKENS, "temperature": 0}
    begun = time.monotonic()
    try:
        response = httpx.post(f"{endpoint}/completions", json=body, timeout=_ANSWER_SECONDS, trust_env=False)
    except httpx.HTTPError as error:
        raise SmokeFailed(f"no answer from {endpoint}: {error}") from error
    if response.is_error:
        failure = _Busy if response.status_code in _BUSY else SmokeFailed
        raise failure(f"{endpoint} answered {response.status_code}: {response.text[:300]}")
    if not _tokens(response):
        raise SmokeFailed(f"{endpoint} answered the smoke prompt with no tokens: {response.text[:300]}")
    return time.monotonic() - begun


def _tokens(response: httpx.Response) -> int:
    try:
        usage: Mapping[str, Any] = response.json()["usage"]
        return int(usage["completion_tokens"])
    except (ValueError, KeyError, TypeError):
        return 0
