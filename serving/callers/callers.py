"""All who may use the service."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from presets.serve_config import ApiKey
from serving.callers.call import Call, answering
from serving.callers.errors import InvalidApiKey
from serving.callers.key_use import KeyUse
from serving.callers.usage import UsageLedger


class Callers:
    """Tells keys apart, and opens a call for each request. Without keys everybody may do everything."""

    def __init__(self, workspace: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.ledger = UsageLedger()
        self.since = int(time.time())
        """Unix time in seconds from which the ledger counts."""
        self.unknown_keys = 0
        """Requests that had no key, or a wrong one."""
        self._workspace = workspace
        self._clock = clock
        self._keys: dict[str, KeyUse] = {}
        self._timeout: float | None = None

    def configure(self, keys: Sequence[ApiKey], request_timeout_seconds: float | None) -> None:
        """Takes effect with the next request. A key is the same as before if its hash is, whatever else changes."""
        uses: dict[str, KeyUse] = {}
        for key in keys:
            use = self._keys.get(key.sha256)
            if use is None:
                use = KeyUse(key, self._clock)
            else:
                use.configure(key)
            uses[key.sha256] = use
        self._keys = uses
        self._timeout = request_timeout_seconds

    @property
    def keys(self) -> list[KeyUse]:
        return list(self._keys.values())

    def identify(self, key: str | None) -> KeyUse | None:
        """Whose key that is; None where none is needed. Raises InvalidApiKey."""
        if not self._keys:
            return None
        found = self._find(key) if key else None
        if found is None:
            self.unknown_keys += 1
            raise InvalidApiKey(
                "Incorrect API key provided. Ask whoever runs this service for one; they stand in modelyard:apiKeys."
                if key
                else "You didn't provide an API key. Send one with the header Authorization: Bearer YOUR_KEY."
            )
        return found

    @contextmanager
    def call(self, key: KeyUse | None, *, limited: bool) -> Iterator[Call]:
        """Around a request. `limited`: whether it counts as one of the key's. Raises LimitReached."""
        timeout = self._timeout
        deadline = None if timeout is None else asyncio.get_running_loop().time() + timeout
        call = Call(key, workspace=self._workspace, ledger=self.ledger, deadline=deadline, timeout_seconds=timeout)
        if key is None or not limited:
            with answering(call):
                yield call
            return
        key.begin()
        try:
            with answering(call):
                yield call
        finally:
            key.end()

    def _find(self, key: str) -> KeyUse | None:
        """Looks at every key, and at every digit of its hash, so that the time tells nothing."""
        digest = hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()
        found = None
        for sha256, use in self._keys.items():
            if hmac.compare_digest(sha256, digest):
                found = use
        return found
