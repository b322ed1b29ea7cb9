"""Adapters that requests load while others want the same name, leave, or are taken over by the stack's config."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from presets.serve_config import AdapterSettings
from serving.adapters.check import BaseModel
from serving.adapters.registry import MOST_BY_REQUEST, AdapterRegistry
from serving.engines.protocol import AdapterRefused, EngineUnavailable
from tests.serving.adapters.builders import directory, files
from tests.serving.api.scripted_engine import ScriptedEngine


class Held:
    """A registry whose engine waits before it takes an adapter."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.go_on = threading.Event()
        self.engine = ScriptedEngine()
        self._asked = threading.Event()
        self.engine.before_load = self._wait
        self.registry = AdapterRegistry(self.engine, BaseModel(names=()), cache_dir=folder / "cache")

    def settings(self, content: str, *, name: str = "polite", dora: bool = False) -> AdapterSettings:
        """Each content is another adapter."""
        config = {"lora_alpha": 1 + len(content), "use_dora": dora}
        folder = directory(self.folder / content, files(config))
        return AdapterSettings(name=name, source=f"file:{folder}", strength=1.0, rank=16)

    def _wait(self) -> None:
        self._asked.set()
        self.go_on.wait()

    async def until_engine_is_asked(self) -> None:
        await asyncio.to_thread(self._asked.wait, 10)

    async def begin(self, settings: AdapterSettings) -> asyncio.Task[None]:
        loading = asyncio.create_task(self.registry.load(settings))
        await asyncio.sleep(0)
        return loading

    def source(self) -> str | None:
        """Of what requests that name it are answered with."""
        found = self.registry.find("polite")
        return None if found is None or found.version is None else found.settings.source

    async def until_engine_has(self, count: int) -> None:
        deadline = time.monotonic() + 10
        while len(self.engine.adapters) != count:
            assert time.monotonic() < deadline, self.engine.adapters
            await asyncio.sleep(0.01)


@pytest.fixture
async def held(tmp_path: Path) -> AsyncIterator[Held]:
    made = Held(tmp_path)
    yield made
    made.go_on.set()
    await made.registry.close()


async def test_what_the_config_takes_over_while_it_is_loaded_stays(held: Held) -> None:
    loading = await held.begin(held.settings("by-request"))
    await held.until_engine_is_asked()
    configured = held.settings("of-the-config")
    held.registry.apply([configured])
    held.go_on.set()
    await loading
    assert held.source() == configured.source
    await held.until_engine_has(1)


async def test_what_the_config_takes_over_stays_also_if_it_is_refused(held: Held) -> None:
    loading = await held.begin(held.settings("by-request"))
    held.registry.apply([held.settings("of-the-config", dora=True)])
    held.go_on.set()
    with pytest.raises(AdapterRefused, match="DoRA"):
        await loading
    (reported,) = held.registry.report().adapters
    assert (reported.state, reported.reason) == ("Failed", "DoraUnsupported")


async def test_the_last_of_two_loads_of_one_name_is_what_both_get(held: Held) -> None:
    first = await held.begin(held.settings("first"))
    await held.until_engine_is_asked()
    wanted = held.settings("the-second")
    second = await held.begin(wanted)
    held.go_on.set()
    await asyncio.gather(first, second)
    assert held.source() == wanted.source
    await held.until_engine_has(1)


async def test_a_load_that_is_given_up_leaves_nothing(held: Held) -> None:
    for number in range(MOST_BY_REQUEST + 1):
        loading = await held.begin(held.settings("given-up", name=f"polite-{number}"))
        loading.cancel()
        await asyncio.wait([loading])
        assert loading.cancelled(), loading
    held.go_on.set()
    assert held.registry.report().adapters == []
    await held.registry.load(held.settings("kept"))
    await held.until_engine_has(1)


async def test_a_load_that_is_given_up_leaves_what_another_waits_for(held: Held) -> None:
    settings = held.settings("wanted-twice")
    first, second = await held.begin(settings), await held.begin(settings)
    first.cancel()
    held.go_on.set()
    await second
    assert held.source() == settings.source


async def test_a_load_whose_adapter_is_unloaded_meanwhile_says_so(held: Held) -> None:
    loading = await held.begin(held.settings("unloaded"))
    await held.until_engine_is_asked()
    held.registry.unload("polite")
    held.go_on.set()
    with pytest.raises(EngineUnavailable, match="was unloaded"):
        await loading
    await held.until_engine_has(0)
