"""The engine's adapters, wanted and given up at once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from serving.adapters.loaded import LoadedAdapters
from serving.engines.protocol import Adapter, AdapterRefused
from tests.serving.api.scripted_engine import ScriptedEngine

POLITE = Adapter(id="polite@sha256:0", path=Path("/nowhere"))


async def settle() -> None:
    for _ in range(100):
        await asyncio.sleep(0.001)


async def test_what_two_want_stays_until_both_have_given_it_up() -> None:
    engine = ScriptedEngine()
    loaded = LoadedAdapters(engine)
    await loaded.load(POLITE)
    await loaded.load(POLITE)
    loaded.give_up(POLITE.id)
    await settle()
    assert POLITE.id in engine.adapters
    loaded.give_up(POLITE.id)
    await settle()
    assert POLITE.id not in engine.adapters


async def test_what_is_wanted_again_while_it_is_unloaded_is_there_afterwards() -> None:
    engine = ScriptedEngine()
    loaded = LoadedAdapters(engine)
    await loaded.load(POLITE)
    loaded.give_up(POLITE.id)
    await loaded.load(POLITE)
    await settle()
    assert POLITE.id in engine.adapters


async def test_what_was_refused_counts_as_given_up() -> None:
    engine = ScriptedEngine()
    loaded = LoadedAdapters(engine)
    engine.refuses_adapters = AdapterRefused("NoEffect", "nothing in it")
    with pytest.raises(AdapterRefused):
        await loaded.load(POLITE)
    engine.refuses_adapters = None
    await loaded.load(POLITE)
    await settle()
    assert POLITE.id in engine.adapters


async def test_versions_that_are_replaced_together_are_never_all_there_twice() -> None:
    engine = ScriptedEngine()
    loaded = LoadedAdapters(engine)
    before = [Adapter(id=f"polite-{n}@sha256:0", path=Path("/nowhere")) for n in range(5)]
    await asyncio.gather(*(loaded.load(each) for each in before))
    most = 0

    def count() -> None:
        nonlocal most
        most = max(most, len(engine.adapters))

    async def replace(old: Adapter) -> None:
        await loaded.load(Adapter(id=old.id + "1", path=old.path))
        count()
        loaded.give_up(old.id)

    await asyncio.gather(*(replace(each) for each in before))
    await settle()
    assert most <= len(before) + 1, "the plan has room for one version more"
    assert len(engine.adapters) == len(before)
