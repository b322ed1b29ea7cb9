"""Which adapters the engine has, when several may be wanted and given up at once."""

from __future__ import annotations

import asyncio
from collections import Counter

from serving.engines.protocol import Adapter, Engine, EngineUnavailable


class LoadedAdapters:
    """Loads each version once however often it is wanted, and unloads it when nobody wants it any more."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._users: Counter[str] = Counter()
        self._leaving: dict[str, asyncio.Task[None]] = {}
        self._one = asyncio.Lock()
        """Versions that are replaced together are loaded one by one: there is room for one beside the others
        (presets.adapter_memory)."""

    async def load(self, adapter: Adapter) -> None:
        """Raises AdapterRefused and EngineUnavailable; then it counts as given up."""
        self._users[adapter.id] += 1
        try:
            while (leaving := self._leaving.get(adapter.id)) is not None:
                # Back to a version that is just being forgotten: the engine would take it for one that it has.
                await asyncio.wait([leaving])
            async with self._one:
                await self._engine.load_adapter(adapter)
        except BaseException:
            self.give_up(adapter.id)
            raise

    def give_up(self, version: str) -> None:
        """Have it unloaded in the background, which lasts as long as the requests that are answered with it."""
        self._users[version] -= 1
        if self._users[version] > 0:
            return
        del self._users[version]
        if version not in self._leaving:
            task = asyncio.create_task(self._forget(version))
            self._leaving[version] = task
            task.add_done_callback(lambda _: self._leaving.pop(version, None))

    async def close(self) -> None:
        for task in self._leaving.values():
            task.cancel()
        await asyncio.gather(*self._leaving.values(), return_exceptions=True)

    async def _forget(self, version: str) -> None:
        while True:
            try:
                return await self._engine.unload_adapter(version)
            except EngineUnavailable as error:
                await asyncio.sleep(error.retry_after)
