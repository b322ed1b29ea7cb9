"""Failures of the service that must keep their meaning on their way through Ray to `pulumi up`."""

from __future__ import annotations


class StartupFailure(Exception):
    """A replica cannot start. `reason` is a condition reason in CamelCase; `message` says what to do.

    Ray hands a replica's error on as the text of a traceback; the reconciliation finds `StartupFailure: [Reason] text`
    in it again, so the text must stay on one line.
    """

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        self.message = " ".join(message.split())
        super().__init__(f"[{reason}] {self.message}")
