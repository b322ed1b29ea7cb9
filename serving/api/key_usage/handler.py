"""What has been used, told to those whom it concerns."""

from __future__ import annotations

from serving.api.key_usage.protocol import KeyUsageLine, KeyUsageList
from serving.callers.call import current_call
from serving.callers.callers import Callers


class KeyUsage:
    """Reports on one replica."""

    def __init__(self, callers: Callers) -> None:
        self._callers = callers

    def list(self) -> KeyUsageList:
        """All of it for a key with admin, and where there are no keys; for any other key its own."""
        key = current_call().key
        return KeyUsageList(
            since=self._callers.since,
            data=[
                KeyUsageLine(
                    key=line.key,
                    model=line.model,
                    requests=line.used.requests,
                    prompt_tokens=line.used.prompt_tokens,
                    completion_tokens=line.used.completion_tokens,
                    total_tokens=line.used.prompt_tokens + line.used.completion_tokens,
                )
                for line in self._callers.ledger.lines()
                if key is None or key.settings.admin or line.key == key.name
            ],
        )
