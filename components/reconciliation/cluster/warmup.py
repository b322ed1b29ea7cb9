"""The last steps of a start: the smoke prompt, and a short measurement of what the workspace does."""

from __future__ import annotations

import json
import time
from typing import Any

from tenacity import RetryError, Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from components.reconciliation.cluster.api import ClusterApi, ClusterError, ClusterUnreachable
from components.reconciliation.cluster.mirror import Performance
from components.reconciliation.cluster.observe import SERVE_PORT
from components.reconciliation.cluster.paths import service_proxy
from components.reconciliation.cluster.values import Wanted
from components.reconciliation.smoke import SmokeFailed

_ANSWER_SECONDS = 120.0
_BUSY_SECONDS = 60
_BUSY = (404, 429, 500, 502, 503, 504)
"""404: the proxy of a new Ray has not heard of its routes yet; 5xx: the Service has no endpoint yet."""
_MINUTE = 60


class _Busy(SmokeFailed):
    """It may answer later."""


def smoke(api: ClusterApi, wanted: Wanted) -> float:
    """Have the model go on with a sentence, through the API server; the seconds that it took. Raises SmokeFailed."""
    trying = Retrying(stop=stop_after_delay(_BUSY_SECONDS), wait=wait_fixed(1), retry=retry_if_exception_type(_Busy))
    try:
        return trying(_ask, api, wanted)
    except RetryError as error:
        raise SmokeFailed(f"{error.last_attempt.exception()}, for {_BUSY_SECONDS} s") from error


def measure(api: ClusterApi, wanted: Wanted) -> Performance | None:
    """What the service says of its own speed; None where it says nothing: that never keeps a workspace from ready."""
    path = service_proxy(wanted.namespace, wanted.name, SERVE_PORT, "/smoke?measure=true")
    try:
        status, body = api.through("POST", path, seconds=_ANSWER_SECONDS)
        answer: dict[str, Any] = json.loads(body) if status == 200 else {}
        seconds, first = float(answer["seconds"]), float(answer["first_token_seconds"])
        tokens = int(answer["usage"]["completion_tokens"])
    except (ClusterError, ValueError, KeyError, TypeError):
        return None
    if seconds <= 0:
        return None
    return Performance(tokens_per_minute=round(_MINUTE * tokens / seconds, 1), time_to_first_token_seconds=first)


def _ask(api: ClusterApi, wanted: Wanted) -> float:
    begun = time.monotonic()
    path = service_proxy(wanted.namespace, wanted.name, SERVE_PORT, "/smoke")
    try:
        status, body = api.through("POST", path, seconds=_ANSWER_SECONDS)
    except ClusterUnreachable as silence:
        raise _Busy(f"no answer to the smoke prompt: {silence}") from silence
    words = body[:300].decode(errors="replace")
    if status in _BUSY:
        raise _Busy(f"the service {wanted.name} answered {status} to the smoke prompt: {words}")
    if status >= 400:
        raise SmokeFailed(f"the service {wanted.name} answered {status} to the smoke prompt: {words}")
    try:
        tokens = int(json.loads(body)["usage"]["completion_tokens"])
    except (ValueError, KeyError, TypeError):
        tokens = 0
    if not tokens:
        raise SmokeFailed(f"the service {wanted.name} answered the smoke prompt with no tokens: {words}")
    return time.monotonic() - begun
