"""Why a job has made no adapter, each reason with its way out."""

from __future__ import annotations


class TuningError(Exception):
    """`reason` is a condition reason in CamelCase; `message` is one line with the cause and the way out."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(reason, message)
        self.reason = reason
        self.message = " ".join(message.split())

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"
