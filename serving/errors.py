"""Failures of the service that must keep their meaning on their way through Ray to `pulumi up`."""

from __future__ import annotations


class StartupFailure(Exception):
    """A replica cannot start. `reason` is a condition reason in CamelCase; `message` says what to do.

    Ray hands a replica's error on as the text of a traceback; the reconciliation finds `StartupFailure: [Reason] text`
    in it again, so the text must stay on one line.
    """

    def __init__(self, reason: str, message: str) -> None:
        # Both as arguments, so that the exception survives the pickling between processes.
        super().__init__(reason, message)
        self.reason = reason
        self.message = " ".join(message.split())

    def __str__(self) -> str:
        return f"[{self.reason}] {self.message}"
