"""Reads adapters' files beside the engine's steps, which need not wait for a disk."""

from __future__ import annotations

import queue
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from serving.engines.protocol import Adapter, AdapterRefused
from serving.engines.transformers_engine.adapter_weights import AdapterWeights
from serving.engines.transformers_engine.adapters import AdapterStore


class AdapterReader:
    """One thread that reads and checks; what it has read waits for the thread that owns the engine."""

    def __init__(self, store: AdapterStore, when_done: Callable[[], None]) -> None:
        """when_done: called from the reading thread after each adapter."""
        self._store = store
        self._when_done = when_done
        self._done: queue.SimpleQueue[tuple[Adapter, AdapterWeights | AdapterRefused]] = queue.SimpleQueue()
        self._thread = ThreadPoolExecutor(1, "adapters")

    def read(self, adapter: Adapter) -> None:
        """Begin to read an adapter, after those that came before it."""
        self._thread.submit(self._read, adapter)

    def collect(self) -> list[tuple[Adapter, AdapterWeights | AdapterRefused]]:
        """What has been read since the last call, or why it was refused."""
        done: list[tuple[Adapter, AdapterWeights | AdapterRefused]] = []
        while not self._done.empty():
            done.append(self._done.get())
        return done

    def _read(self, adapter: Adapter) -> None:
        read: AdapterWeights | AdapterRefused
        try:
            read = self._store.read(adapter)
        except AdapterRefused as refused:
            read = refused
        except Exception as error:  # noqa: BLE001 - whoever asked for it must hear of it, whatever it is
            read = AdapterRefused("AdapterUnreadable", f"{type(error).__name__}: {error}")
        self._done.put((adapter, read))
        self._when_done()
