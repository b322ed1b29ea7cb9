"""The smoke prompt: the last step before a workspace is called ready."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import httpx
from tenacity import RetryError, Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

_ANSWER_SECONDS = 120
_BUSY_SECONDS = 60
"""How long an endpoint may be too busy, or busy with restarting its engine, for one short prompt."""
_BUSY = (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE)


class SmokeFailed(Exception):
    """The endpoint did not answer the smoke prompt with tokens."""


class _Busy(SmokeFailed):
    """It may answer later."""


def ask(endpoint: str) -> float:
    """Have the model go on with a sentence; the seconds that the answer took. `endpoint` is the OpenAI base URL.

    At an address of its own beside it, since the endpoint itself may need an API key, and nobody keeps one here.
    """
    trying = Retrying(
        stop=stop_after_delay(_BUSY_SECONDS), wait=wait_fixed(1), retry=retry_if_exception_type(_Busy), reraise=False
    )
    try:
        return trying(_ask_once, f"{endpoint.removesuffix('/v1')}/smoke")
    except RetryError as error:
        raise SmokeFailed(f"{error.last_attempt.exception()}, for {_BUSY_SECONDS} s") from error


def _ask_once(address: str) -> float:
    begun = time.monotonic()
    try:
        response = httpx.post(address, timeout=_ANSWER_SECONDS, trust_env=False)
    except httpx.HTTPError as error:
        raise SmokeFailed(f"no answer from {address}: {error}") from error
    if response.is_error:
        failure = _Busy if response.status_code in _BUSY else SmokeFailed
        raise failure(f"{address} answered {response.status_code}: {response.text[:300]}")
    if not _tokens(response):
        raise SmokeFailed(f"{address} answered the smoke prompt with no tokens: {response.text[:300]}")
    return time.monotonic() - begun


def _tokens(response: httpx.Response) -> int:
    try:
        usage: Mapping[str, Any] = response.json()["usage"]
        return int(usage["completion_tokens"])
    except (ValueError, KeyError, TypeError):
        return 0
