"""The `Engine` that the API talks to: it owns the engine process, its restarts, and the requests in flight."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import time
from collections.abc import AsyncGenerator
from dataclasses import replace

from presets.serve_config import ServiceSettings
from serving.engines.process.child import Child
from serving.engines.process.messages import (
    AdapterLoaded,
    AdapterNotLoaded,
    Cancel,
    Event,
    LaunchOptions,
    LoadAdapter,
    Started,
    StartFailed,
    StepReport,
    Submit,
    UnloadAdapter,
)
from serving.engines.process.restarts import RestartPolicy
from serving.engines.process.silence import Patience
from serving.engines.process.token_stream import TokenStream
from serving.engines.protocol import (
    Adapter,
    AdapterLost,
    AdapterRefused,
    EngineHealth,
    EngineOverloaded,
    EngineStats,
    EngineUnavailable,
    GenerationRequest,
    RequestFailed,
    TokenChunk,
)
from serving.errors import StartupFailure

_log = logging.getLogger(__name__)


class EngineProcess:
    """Implements `serving.engines.protocol.Engine`. All methods belong to the event loop that called `start`."""

    def __init__(
        self, options: LaunchOptions, restarts: RestartPolicy | None = None, patience: Patience | None = None
    ) -> None:
        self._options = options
        self._policy = restarts or RestartPolicy()
        self._patience = patience or Patience()
        self._max_waiting = ServiceSettings().max_waiting_requests
        self._child: Child | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._health = EngineHealth(status="starting", reason="EngineStarting", message="the engine loads its weights")
        self._stats = EngineStats()
        self._streams: dict[str, TokenStream] = {}
        self._adapters: dict[str, Adapter] = {}
        """Those that are loaded, or were before the process died."""
        self._loading: dict[str, asyncio.Future[None]] = {}
        self._tell_lost: AdapterLost = lambda _id, _why: None
        self._serial = itertools.count()
        self._deaths: list[float] = []
        self._restarts = 0
        self._draining = False
        self._idle = asyncio.Event()
        self._idle.set()

    async def start(self) -> None:
        """As the protocol says. The process is gone again when this raises."""
        try:
            child = await self._launch()
        except StartupFailure as failure:
            self._health = EngineHealth(status="failed", reason=failure.reason, message=failure.message)
            raise
        self._supervisor = asyncio.create_task(self._supervise(child), name="engine-supervisor")
        self._supervisor.add_done_callback(self._when_supervision_ends)

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[TokenChunk, None]:
        child = self._admit()
        # an id that is never used twice: what the engine still sends for a cancelled request finds nobody
        request_id = f"{request.id}#{next(self._serial)}"
        stream = self._streams[request_id] = TokenStream()
        self._idle.clear()
        child.send(Submit(replace(request, id=request_id)))
        try:
            while True:
                chunk = await stream.next()
                yield chunk
                if chunk.finish_reason is not None:
                    return
        finally:
            if request_id in self._streams:
                self._forget(request_id)
                child.send(Cancel(request_id))

    async def load_adapter(self, adapter: Adapter) -> None:
        if adapter.id in self._adapters:
            return
        loading = self._loading.get(adapter.id)
        if loading is None:
            child = self._ready_child()
            loading = self._loading[adapter.id] = asyncio.get_running_loop().create_future()
            child.send(LoadAdapter(adapter))
        await asyncio.shield(loading)
        self._adapters[adapter.id] = adapter

    async def unload_adapter(self, adapter_id: str) -> None:
        if self._adapters.pop(adapter_id, None) is not None and self._child is not None:
            self._child.send(UnloadAdapter(adapter_id))

    def when_adapter_is_lost(self, tell: AdapterLost) -> None:
        self._tell_lost = tell

    def health(self) -> EngineHealth:
        if self._draining and self._health.status == "ready":
            message = f"no new requests; {len(self._streams)} are being finished"
            return replace(self._health, status="draining", reason="EngineDraining", message=message)
        return self._health

    def stats(self) -> EngineStats:
        # what was sent and not reported yet waits as well
        waiting = max(0, len(self._streams) - self._stats.running)
        return replace(self._stats, waiting=waiting, restarts=self._restarts)

    def set_max_waiting(self, requests: int) -> None:
        self._max_waiting = requests

    def capacity(self) -> int:
        return self._options.engine.max_sequences + self._max_waiting

    async def drain(self, timeout_seconds: float) -> None:
        self._draining = True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), timeout_seconds)

    async def stop(self) -> None:
        self._health = EngineHealth(status="stopped", reason="EngineStopped", message="the engine has been stopped")
        self._fail_all("the engine has been stopped")
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is not None:
            supervisor.cancel()
            await asyncio.wait([supervisor])
        if self._child is not None:
            await self._child.end()
            self._child = None

    def _admit(self) -> Child:
        """The child that takes a request now. Raises EngineUnavailable or EngineOverloaded."""
        child = self._ready_child()
        places = self._options.engine.max_sequences
        if len(self._streams) >= self.capacity():
            raise EngineOverloaded(f"{places} requests run and {self._max_waiting} wait already; try again later")
        return child

    def _ready_child(self) -> Child:
        """Raises EngineUnavailable."""
        health = self.health()
        if health.status != "ready" or self._child is None:
            raise EngineUnavailable(f"the engine is {health.status}: {health.message}")
        return self._child

    async def _launch(self) -> Child:
        """Start a process and wait until it answers. Raises StartupFailure, with nothing left behind."""
        begin = time.monotonic()
        try:
            child = self._child = await Child.spawn(self._options)
        except OSError as error:
            raise StartupFailure("EngineNotStarted", f"the engine process cannot be started: {error}") from error
        self._health = replace(self._health, pid=child.pid)
        try:
            event = await child.receive()
        except asyncio.CancelledError:
            child.kill()
            raise
        if not isinstance(event, Started):
            self._child = None
            raise _start_failure(event, await child.end())
        patience = self._patience.seconds(event.warmup_seconds)
        child.watch(patience, self._is_awaited, lambda what: self._when_hung(child, what))
        lost = await self._reload_adapters(child)
        if lost is None:
            self._child = None
            raise _start_failure(None, await child.end())
        loading = {"load": event.load_seconds, "warmup": event.warmup_seconds}
        process = time.monotonic() - begin - sum(loading.values())
        self._health = EngineHealth(status="ready", phases={"process": process, **loading}, pid=child.pid)
        for adapter_id, why in lost.items():
            self._tell_lost(adapter_id, why)
        return child

    def _is_awaited(self) -> bool:
        """Whether anybody waits for the process; while adapters are loaded again, the restart does."""
        return bool(self._streams or self._loading) or self._health.status != "ready"

    def _when_hung(self, child: Child, what: str) -> None:
        """Before its end, which a process that waits for a device may put off."""
        cause = f"the engine process (pid {child.pid}) {what}"
        _log.error("%s, with %d requests in flight; its log says where it hangs", cause, len(self._streams))
        self._health = EngineHealth(status="restarting", reason="EngineRestarting", message=cause, pid=child.pid)
        self._fail_all(f"{cause}; it is being restarted")

    async def _reload_adapters(self, child: Child) -> dict[str, AdapterRefused] | None:
        """Give a new process the adapters that the last one had; those that it refused, None when it ends meanwhile."""
        lost: dict[str, AdapterRefused] = {}
        for adapter in list(self._adapters.values()):
            child.send(LoadAdapter(adapter))
            while not isinstance(event := await child.receive(), AdapterLoaded | AdapterNotLoaded):
                if event is None:
                    return None
            wanted = adapter.id in self._adapters  # it may have been unloaded meanwhile
            if isinstance(event, AdapterLoaded):
                if not wanted:
                    child.send(UnloadAdapter(adapter.id))
            elif wanted:
                del self._adapters[adapter.id]
                lost[adapter.id] = AdapterRefused(event.reason, event.message)
        return lost

    async def _supervise(self, child: Child) -> None:
        """Hand out what the process sends; when it dies, start the next one, until there were too many deaths."""
        while True:
            while (event := await child.receive()) is not None:
                self._dispatch(event)
            end = await child.end()
            self._child = None
            self._stats = EngineStats()
            cause = f"the engine process (pid {child.pid}) {end}"
            _log.error("%s, with %d requests in flight", cause, len(self._streams))
            self._fail_all(f"{cause} while it answered; it is being restarted")
            restarted = await self._restart("EngineRestarting", cause)
            if restarted is None:
                return
            child = restarted

    def _when_supervision_ends(self, task: asyncio.Task[None]) -> None:
        """Without this an error in the supervisor would leave every request waiting for an engine that looks ready."""
        if task.cancelled() or (error := task.exception()) is None:
            return
        message = f"the engine is no longer supervised after {type(error).__name__}: {error}"
        _log.error("%s", message, exc_info=error)
        self._health = EngineHealth(status="failed", reason="EngineDied", message=message)
        self._fail_all(message)

    async def _restart(self, reason: str, cause: str) -> Child | None:
        """A new process, after a pause; None when the policy gives up, with status "failed"."""
        while True:
            now = time.monotonic()
            self._deaths.append(now)
            recent = self._policy.recent(self._deaths, now)
            delay = self._policy.delay(self._deaths, now)
            if delay is None:
                message = f"{cause}; that was death {recent} in {self._policy.window_seconds:.0f} s, so it stays down"
                reason = "EngineDied" if reason == "EngineRestarting" else reason
                self._health = EngineHealth(status="failed", reason=reason, message=message)
                _log.error("%s", message)
                return None
            message = f"{cause}; restart {recent} of at most {self._policy.limit}"
            self._health = EngineHealth(status="restarting", reason="EngineRestarting", message=message)
            await asyncio.sleep(delay)
            self._restarts += 1
            try:
                child = await self._launch()
            except StartupFailure as failure:
                reason, cause = failure.reason, failure.message
                _log.error("the engine process did not start again: %s", failure)
            else:
                _log.info("the engine answers again, pid %d", child.pid)
                return child

    def _dispatch(self, event: Event) -> None:
        match event:
            case StepReport():
                self._hand_out(event)
            case AdapterLoaded(adapter_id):
                if loading := self._loading.pop(adapter_id, None):
                    loading.set_result(None)
            case AdapterNotLoaded(adapter_id, reason, message):
                refused = AdapterRefused(reason, message)
                if loading := self._loading.pop(adapter_id, None):
                    loading.set_exception(refused)
                elif self._adapters.pop(adapter_id, None) is not None:
                    self._tell_lost(adapter_id, refused)
            case _:
                raise TypeError(f"unexpected from a running engine: {event}")

    def _hand_out(self, report: StepReport) -> None:
        self._stats = report.stats
        for request_id, chunk in report.chunks.items():
            stream = self._streams.get(request_id)
            if stream is not None:
                stream.put(chunk)
                if chunk.finish_reason is not None:
                    self._forget(request_id)
        for request_id, reason in report.failures.items():
            stream = self._streams.get(request_id)
            if stream is not None:
                stream.fail(RequestFailed(reason))
                self._forget(request_id)

    def _forget(self, request_id: str) -> None:
        del self._streams[request_id]
        if not self._streams:
            self._idle.set()

    def _fail_all(self, reason: str) -> None:
        for request_id, stream in list(self._streams.items()):
            stream.fail(EngineUnavailable(reason))
            self._forget(request_id)
        for loading in self._loading.values():
            loading.set_exception(EngineUnavailable(reason))
        self._loading.clear()


def _start_failure(event: Event | None, end: str) -> StartupFailure:
    if isinstance(event, StartFailed):
        return StartupFailure(event.reason, event.message)
    return StartupFailure(
        "EngineDied",
        f"the engine process {end} while it started; its log is on the replica's stderr, and too little memory for the "
        "model is the most common cause",
    )
