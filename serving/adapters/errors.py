"""Why an adapter is refused."""

from __future__ import annotations

from typing import Literal

from serving.engines.protocol import AdapterRefused
from serving.weights.errors import WeightsError

Reason = Literal[
    "AdapterFailed",
    "AdapterNotFound",
    "AdapterTooLarge",
    "AdapterUnreadable",
    "BaseModelMismatch",
    "BiasUnsupported",
    "CacheNotWritable",
    "DoraUnsupported",
    "DownloadFailed",
    "NoSpace",
    "NotLora",
    "PickledWeights",
    "RankTooHigh",
    "SourceInvalid",
    "Unauthorized",
    "UnsafeArchive",
    "UnsupportedModules",
    "VariantUnsupported",
    "WorkspaceFull",
]
"""Those told before the engine sees an adapter. The engines add UnknownTargetModules, ShapeMismatch, NoEffect,
DtypeUnsupported, NotFinite, AdaptersNotEnabled and AdapterUnsupported; docs/adapters.md has them."""

_OF_WEIGHTS: dict[str, Reason] = {
    "CacheNotWritable": "CacheNotWritable",
    "DownloadFailed": "DownloadFailed",
    "NoSpace": "NoSpace",
    "PickleRefused": "PickledWeights",
    "Unauthorized": "Unauthorized",
    "UnsafeArchive": "UnsafeArchive",
    "WeightsNotFound": "AdapterNotFound",
}


class AdapterError(AdapterRefused):
    """No usable adapter. `reason` is one of `Reason`; `message` names the cause and the way out, on one line."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(reason, " ".join(message.split()))


def of_weights(error: WeightsError) -> AdapterError:
    """What adapters and weights have in common, the cache, the hub and registries, as an adapter's error."""
    return AdapterError(_OF_WEIGHTS.get(error.reason, "AdapterUnreadable"), error.message)
