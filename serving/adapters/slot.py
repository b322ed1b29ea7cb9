"""One adapter by its name: brought to what is wanted of it, again and again, while requests are answered with it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from presets.serve_config import AdapterSettings
from serving.adapters.loaded import LoadedAdapters
from serving.adapters.report import AdapterReport, State
from serving.engines.protocol import Adapter, AdapterRefused, AdapterUse, EngineUnavailable
from serving.weights.model import Progress, Report

_log = logging.getLogger("ray.serve")

_FIRST_RETRY_SECONDS = 5.0
_LAST_RETRY_SECONDS = 300.0
"""A registry that was away comes back, and a source is corrected, without anybody telling the replica."""
_PASSING = frozenset({"AdapterUnreadable", "OutOfMemory"})
"""Why an engine may refuse a content that it takes another time; anything else is the content's own fault."""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """An adapter on this machine that has been checked as far as that goes without the model."""

    path: Path
    digest: str
    remark: str


Prepare = Callable[[AdapterSettings, Report], Awaitable[Prepared]]


class Slot:
    """Runs in a task of its own until it is removed; everything but `prepare` happens in the event loop."""

    def __init__(
        self, settings: AdapterSettings, loaded: LoadedAdapters, prepare: Prepare, *, by_request: bool
    ) -> None:
        self.settings = settings
        self.by_request = by_request
        """Loaded by a request, not from the stack's config."""
        self.loads = 0
        """Requests that wait for it to be loaded."""
        self._loaded = loaded
        self._prepare = prepare
        self.state: State = "Loading"
        self.reason = self.message = ""
        self.version: str | None = None
        """The engine's id of what requests are answered with."""
        self.ready_since = 0
        """Unix time in seconds at which that version began to be."""
        self._refused: dict[str, AdapterRefused] = {}
        self._removed = False
        self._changed = asyncio.Event()
        self._waiters: list[asyncio.Future[AdapterSettings]] = []
        self._task = asyncio.create_task(self._run())

    def want(self, settings: AdapterSettings) -> None:
        """Bring it to these settings, and look whether its source has something new even if they are the same."""
        if settings != self.settings or self.state == "Failed":
            self.settings = settings
            self.state, self.reason, self.message = "Loading", "", ""
        self._changed.set()

    def lose(self, version: str, why: AdapterRefused) -> None:
        """The engine has this version no more. It is brought again at once, and in vain as long as the reason lasts."""
        if version != self.version:
            return
        self._loaded.give_up(version)
        self.version, self.ready_since = None, 0
        self.state, self.reason = "Loading", why.reason
        self.message = f"the engine could not read it again: {why.message}"
        _log.warning("adapter %s is lost: %s", self.settings.name, why)
        self._changed.set()

    def settled(self) -> asyncio.Future[AdapterSettings]:
        """Done when an attempt that begins from now on has ended, well or not; the settings that it was for. To be
        asked only of an adapter that has not been removed."""
        waiter: asyncio.Future[AdapterSettings] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        return waiter

    def use(self, strength: float | None) -> AdapterUse:
        """How a request is answered with it now. RuntimeError without a version: never the model itself instead."""
        if self.version is None:
            raise RuntimeError(f"the adapter {self.settings.name} is not ready")
        return AdapterUse(id=self.version, strength=strength)

    def report(self) -> AdapterReport:
        return AdapterReport(
            name=self.settings.name,
            state=self.state,
            version=self.version,
            strength=self.settings.strength,
            reason=self.reason,
            message=self.message,
        )

    def remove(self) -> None:
        """New requests no longer find it; those that run are finished."""
        self._removed = True
        self._changed.set()

    async def close(self) -> None:
        """End at once; the engine is stopped with everything that it has."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def ended(self) -> None:
        """Wait until a removed adapter has given up its version."""
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        delay = _FIRST_RETRY_SECONDS
        while not self._removed:
            self._changed.clear()
            waiters, self._waiters = self._waiters, []
            settings = self.settings
            await self._attempt(settings)
            _wake(waiters, settings)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), None if self.state == "Ready" else delay)
            delay = _FIRST_RETRY_SECONDS if self._changed.is_set() else min(2 * delay, _LAST_RETRY_SECONDS)
        _wake(self._waiters, self.settings)
        if self.version is not None:
            self._loaded.give_up(self.version)
            self.version = None

    async def _attempt(self, settings: AdapterSettings) -> None:
        try:
            remark = await self._bring(settings)
        except AdapterRefused as error:
            self._told(settings, "Failed", error.reason, error.message)
        except EngineUnavailable as error:
            self._told(settings, "Loading", "EngineUnavailable", str(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the state of this one adapter
            _log.exception("adapter %s failed", settings.name)
            self._told(settings, "Failed", "AdapterFailed", f"{type(error).__name__}: {error}; the log has more")
        else:
            self._told(settings, "Ready", "", remark)

    def _told(self, settings: AdapterSettings, state: State, reason: str, message: str) -> None:
        """Unless something else has been wanted meanwhile: what was reported then would be of the wrong settings."""
        if settings != self.settings:
            return
        if (state, reason) != (self.state, self.reason):
            _log.info("adapter %s is %s %s %s", settings.name, state, reason, message)
        self.state, self.reason, self.message = state, reason, message

    async def _bring(self, settings: AdapterSettings) -> str:
        prepared = await self._prepare(settings, self._progress)
        version = _version(settings, prepared.digest)
        if version != self.version:
            await self._load(Adapter(id=version, path=prepared.path, strength=settings.strength))
        return prepared.remark

    async def _load(self, adapter: Adapter) -> None:
        if (refused := self._refused.get(adapter.id)) is not None:
            raise refused
        try:
            await self._loaded.load(adapter)
        except AdapterRefused as error:
            if error.reason not in _PASSING:
                self._refused[adapter.id] = error
            raise
        before, self.version = self.version, adapter.id
        self.ready_since = int(time.time())
        if before is not None:
            self._loaded.give_up(before)

    def _progress(self, progress: Progress) -> None:
        """From a thread; one assignment is all that it does."""
        if self.state == "Loading":
            done = f", {progress.done} of {progress.total} bytes" if progress.done and progress.total else ""
            self.message = f"{progress.message}{done}"


def _version(settings: AdapterSettings, digest: str) -> str:
    """The engine's id. Another strength is another one: vLLM scales an adapter when it loads it."""
    strength = "" if settings.strength == 1 else f"*{settings.strength:g}"
    return f"{settings.name}@sha256:{digest.removeprefix('sha256:')[:12]}{strength}"


def _wake(waiters: list[asyncio.Future[AdapterSettings]], settings: AdapterSettings) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(settings)
