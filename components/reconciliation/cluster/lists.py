"""Lists of the API server that all watched workspaces share: thirty of them ask no more than one does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from components.reconciliation.cluster.api import ClusterApi, ClusterError, Json
from components.reconciliation.cluster.partial_json import mapping

FRESH_SECONDS = 1.0
"""For which a list is not asked for again."""


@dataclass
class _List:
    lock: threading.Lock = field(default_factory=threading.Lock)
    at: float = float("-inf")
    items: list[Json] = field(default_factory=list[Json])
    failure: ClusterError | None = None


class Lists:
    """Of one login; safe to share between threads."""

    def __init__(self, api: ClusterApi, clock: Callable[[], float] = time.monotonic) -> None:
        self._api = api
        self._clock = clock
        self._lists: dict[str, _List] = {}
        self._lock = threading.Lock()

    def items(self, path: str, labels: Mapping[str, str] | None = None) -> list[Json]:
        """The objects at `path` that have these labels. Raises what the API server refuses the list with."""
        with self._lock:
            kept = self._lists.setdefault(path, _List())
        with kept.lock:
            if self._clock() - kept.at > FRESH_SECONDS:
                self._ask(path, kept)
            if kept.failure is not None:
                raise kept.failure
            found = kept.items
        return [item for item in found if has_labels(item, labels or {})]

    def forget(self) -> None:
        """Ask anew: something was changed."""
        with self._lock:
            self._lists = {}

    def _ask(self, path: str, kept: _List) -> None:
        try:
            kept.items, kept.failure = self._api.items(path), None
        except ClusterError as failure:
            kept.failure = failure
        kept.at = self._clock()


def has_labels(item: Json, labels: Mapping[str, str]) -> bool:
    """
    >>> has_labels({"metadata": {"labels": {"a": "1", "b": "2"}}}, {"a": "1"}), has_labels({}, {"a": "1"})
    (True, False)
    """
    return labels.items() <= mapping(item, "metadata", "labels").items()
