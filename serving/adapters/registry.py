"""The adapters of one replica: those of the stack's config, which change in place, and those that requests load."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from presets.adapter_source import parse_adapter_source
from presets.serve_config import AdapterSettings, adapters_generation
from serving.adapters.check import BaseModel, check
from serving.adapters.errors import AdapterError
from serving.adapters.fetch import default_directory, fetch
from serving.adapters.loaded import LoadedAdapters
from serving.adapters.report import AdaptersReport
from serving.adapters.slot import Prepared, Slot
from serving.engines.protocol import AdapterRefused, Engine, EngineUnavailable
from serving.weights.model import Report

MOST_BY_REQUEST = 10
"""Adapters beside those of the stack's config, without memory of their own: the plan counts the config's only."""
_THREADS = 2
"""Of the registry's own: downloads must not take those that encode prompts."""


class AdapterRegistry:
    """Each adapter is brought to what is wanted by itself: one that fails keeps neither the others nor the model."""

    def __init__(self, engine: Engine, base: BaseModel, *, cache_dir: Path | None = None) -> None:
        self._loaded = LoadedAdapters(engine)
        self._base = base
        self._cache = cache_dir or default_directory()
        self._slots: dict[str, Slot] = {}
        self._leaving: set[Slot] = set()
        self._generation = adapters_generation(())
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="adapters")
        engine.when_adapter_is_lost(self._lose)

    def apply(self, wanted: Sequence[AdapterSettings]) -> None:
        """Begin to bring the adapters to the stack's list; returns at once. To be called in the event loop."""
        self._generation = adapters_generation(wanted)
        names = {settings.name for settings in wanted}
        for slot in [slot for name, slot in self._slots.items() if not slot.by_request and name not in names]:
            self._remove(slot)
        for settings in wanted:
            self._want(settings, by_request=False)

    async def load(self, settings: AdapterSettings) -> None:
        """Have one more adapter, or another version of one; returns when it is ready.

        Raises AdapterRefused or EngineUnavailable. Then, and if it is cancelled, the adapter is forgotten again, unless
        an earlier version is served, others wait for it, or the stack's config has it by now.
        """
        if settings.name not in self._slots:
            loaded = sum(slot.by_request for slot in self._slots.values())
            if loaded >= MOST_BY_REQUEST:
                raise AdapterError(
                    "WorkspaceFull",
                    f"{loaded} adapters have been loaded by requests, and no more may be: unload one, or write it into "
                    "the stack's config",
                )
        slot = self._want(settings, by_request=True)
        slot.loads += 1
        try:
            await self._settled(slot)
        finally:
            slot.loads -= 1
            kept = self._slots.get(settings.name) is slot
            # Another request may wait for it, and the stack's config may have taken it over.
            if kept and slot.by_request and slot.version is None and not slot.loads:
                self._remove(slot)
        if not kept:
            raise EngineUnavailable("the adapter was unloaded while it was being loaded")
        if slot.state == "Failed":
            raise AdapterRefused(slot.reason, slot.message)
        if slot.state != "Ready":
            raise EngineUnavailable(slot.message or "the engine cannot load an adapter now")

    def unload(self, name: str) -> None:
        """Take out an adapter that a request has loaded; KeyError if there is none of that name."""
        self._remove(self._slots[name])

    def find(self, name: str) -> Slot | None:
        return self._slots.get(name)

    def ready(self) -> list[Slot]:
        """Those that requests are answered with now, by name."""
        return [slot for _, slot in sorted(self._slots.items()) if slot.version is not None]

    def report(self) -> AdaptersReport:
        slots = [slot.report() for _, slot in sorted(self._slots.items())]
        return AdaptersReport(generation=self._generation, adapters=slots)

    async def close(self) -> None:
        slots = [*self._slots.values(), *self._leaving]
        self._slots.clear()
        await asyncio.gather(*(slot.close() for slot in slots))
        await self._loaded.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _settled(self, slot: Slot) -> None:
        """Wait until an attempt has ended whose settings are still wanted, or until the slot is removed."""
        while (await slot.settled()) is not slot.settings:
            if self._slots.get(slot.settings.name) is not slot:
                return

    def _want(self, settings: AdapterSettings, *, by_request: bool) -> Slot:
        slot = self._slots.get(settings.name)
        if slot is None:
            slot = Slot(settings, self._loaded, self._prepare, by_request=by_request)
            self._slots[settings.name] = slot
        else:
            slot.by_request = by_request
            slot.want(settings)
        return slot

    def _lose(self, version: str, why: AdapterRefused) -> None:
        for slot in self._slots.values():
            slot.lose(version, why)

    def _remove(self, slot: Slot) -> None:
        del self._slots[slot.settings.name]
        slot.remove()
        self._leaving.add(slot)
        asyncio.ensure_future(slot.ended()).add_done_callback(lambda _: self._leaving.discard(slot))

    async def _prepare(self, settings: AdapterSettings, report: Report) -> Prepared:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._prepared, settings, report)

    def _prepared(self, settings: AdapterSettings, report: Report) -> Prepared:
        try:
            source = parse_adapter_source(settings.source)
        except ValueError as error:
            raise AdapterError("SourceInvalid", f"{settings.source[:200]}: {error}") from error
        found = fetch(source, self._cache, report)
        remark = check(found.path, str(source), self._base, settings.rank)
        return Prepared(path=found.path, digest=found.digest, remark=remark)
