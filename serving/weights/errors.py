"""Why weights cannot be served, each reason with its way out."""

from __future__ import annotations

from typing import Literal

from serving.errors import StartupFailure

Reason = Literal[
    "CacheNotWritable",
    "ConversionFailed",
    "DownloadFailed",
    "NoSpace",
    "PickleRefused",
    "RemoteCodeRefused",
    "Unauthorized",
    "UnsafeArchive",
    "WeightsCorrupt",
    "WeightsNotFound",
]


class WeightsError(StartupFailure):
    """No usable weights. `reason` is one of `Reason`; `message` names the cause and the way out, on one line."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(reason, message)

    def __str__(self) -> str:
        # A traceback gives this class's own name, and the reconciliation looks for that of StartupFailure.
        return f"{StartupFailure.__name__}: {super().__str__()}"
