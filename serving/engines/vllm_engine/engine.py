"""vLLM behind the engine protocol."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import shutil
import tempfile
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path

from presets.serve_config import ServiceSettings
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
from serving.engines.vllm_engine.adapters import (
    Loaded,
    LoadedAdapters,
    check_adapter,
    directory_of,
    remove_copy,
)
from serving.engines.vllm_engine.arguments import Arguments
from serving.engines.vllm_engine.failures import startup_failure
from serving.engines.vllm_engine.library import Library, Load, RunningLlm, load_library
from serving.engines.vllm_engine.requests import chunk_of, sampling_fields
from serving.engines.vllm_engine.turns import Turns
from serving.errors import StartupFailure

_log = logging.getLogger(__name__)

_STOP_SECONDS = 5.0
"""That streams have to end in after their requests were aborted."""
_STOPPED = "the engine has been stopped"
_DIED = "vLLM's processes are gone; the replica is being replaced"


@dataclass(frozen=True, kw_only=True)
class VllmOptions:
    """What one vLLM is started with."""

    model_dir: Path
    arguments: Arguments
    """Fields of AsyncEngineArgs."""
    max_sequences: int
    max_adapter_rank: int
    """0: it serves no adapters."""


class VllmEngine:
    """Implements `serving.engines.protocol.Engine`. All methods belong to the event loop that called `start`.

    vLLM does not come back when its processes die: the engine is then failed, and Ray Serve replaces the replica.
    """

    def __init__(self, options: VllmOptions, library: Callable[[], Library] = load_library) -> None:
        self._options = options
        self._load_library = library
        self._library: Library | None = None
        self._llm: RunningLlm | None = None
        self._health = EngineHealth(status="starting", reason="EngineStarting", message="vLLM loads its weights")
        # One more than a batch, so that vLLM has the next request when one ends.
        self._turns = Turns(options.max_sequences + 1)
        self._max_waiting = ServiceSettings().max_waiting_requests
        self._in_flight: set[str] = set()
        self._serial = itertools.count()
        self._adapters = LoadedAdapters()
        self._adapters_change = asyncio.Lock()
        self._copies: Path | None = None
        self._load = Load(running=0, waiting=0, kv_cache_usage=0.0)
        self._kv_cache_bytes = 0
        self._prompt_tokens = 0
        self._reused_prompt_tokens = 0
        self._generated_tokens = 0
        self._draining = False
        self._idle = asyncio.Event()
        self._idle.set()

    async def start(self) -> None:
        """As the protocol says. vLLM's processes are gone again when this raises."""
        try:
            begin = time.monotonic()
            llm = await self._launch()
            loaded = time.monotonic()
            await self._warm_up(llm)
        except StartupFailure as failure:
            self._health = EngineHealth(status="failed", reason=failure.reason, message=failure.message)
            raise
        phases = {"load": loaded - begin, "warmup": time.monotonic() - loaded}
        self._health = EngineHealth(status="ready", phases=phases, pid=self._lib.pid(llm))

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[TokenChunk, None]:
        llm = self._admit()
        loaded = self._adapters.for_use(request.adapter)
        params = self._sampling_params(request)
        # an id that is never used twice: of a cancelled request something may still be on its way
        request = replace(request, id=f"{request.id}#{next(self._serial)}")
        self._in_flight.add(request.id)
        self._idle.clear()
        if loaded:
            loaded.begin_use()
        try:
            await self._turns.enter(request)
            try:
                async with aclosing(self._chunks(llm, request, params, loaded)) as chunks:
                    async for chunk in chunks:
                        yield chunk
            finally:
                self._turns.leave()
        finally:
            if loaded:
                loaded.end_use()
            self._in_flight.discard(request.id)
            if not self._in_flight:
                self._idle.set()

    async def load_adapter(self, adapter: Adapter) -> None:
        await asyncio.to_thread(check_adapter, adapter, self._options.model_dir, self._options.max_adapter_rank)
        async with self._adapters_change:
            known = self._adapters.find(adapter.id)
            if known and known.adapter == adapter:
                return
            llm = self._running()
            if self._copies is None:
                self._copies = Path(tempfile.mkdtemp(prefix="modelyard-adapters-"))
            path = await asyncio.to_thread(directory_of, adapter, self._copies)
            number = self._adapters.next_number()
            request = self._lib.lora_request(f"{adapter.id}#{number}", number, path)
            loaded = Loaded(adapter, request, number, path)
            try:
                await llm.add_lora(request)
            except Exception as error:
                remove_copy(loaded)
                if self._is_dead(error):
                    raise EngineUnavailable(_DIED) from error
                raise AdapterRefused("AdapterUnsupported", f"vLLM does not take it: {error}") from error
            self._adapters.put(loaded)
        if known:
            await self._forget(known)

    def when_adapter_is_lost(self, tell: AdapterLost) -> None:
        """vLLM keeps as many adapters as may be loaded, and reads none again."""

    async def unload_adapter(self, adapter_id: str) -> None:
        async with self._adapters_change:
            loaded = self._adapters.pop(adapter_id)
        if loaded:
            await self._forget(loaded)

    def health(self) -> EngineHealth:
        if self._health.status == "ready" and self._llm is not None and self._llm.errored:
            self._health = EngineHealth(status="failed", reason="EngineDied", message=_DIED)
        if self._draining and self._health.status == "ready":
            message = f"no new requests; {len(self._in_flight)} are being finished"
            return replace(self._health, status="draining", reason="EngineDraining", message=message)
        return self._health

    def stats(self) -> EngineStats:
        running = min(self._load.running, len(self._in_flight))
        return EngineStats(
            running=running,
            # what was sent and not reported yet waits as well
            waiting=len(self._in_flight) - running,
            prompt_tokens=self._prompt_tokens,
            reused_prompt_tokens=self._reused_prompt_tokens,
            generated_tokens=self._generated_tokens,
            kv_cache_bytes=round(self._load.kv_cache_usage * self._kv_cache_bytes),
            kv_cache_capacity_bytes=self._kv_cache_bytes,
        )

    def set_max_waiting(self, requests: int) -> None:
        self._max_waiting = requests

    def capacity(self) -> int:
        return self._options.max_sequences + self._max_waiting

    async def drain(self, timeout_seconds: float) -> None:
        self._draining = True
        await self._until_idle(timeout_seconds)

    async def stop(self) -> None:
        self._health = EngineHealth(status="stopped", reason="EngineStopped", message=_STOPPED)
        self._turns.refuse_waiting(EngineUnavailable(_STOPPED))
        llm, self._llm = self._llm, None
        if llm is not None:
            with contextlib.suppress(Exception):  # a dead vLLM has nothing to abort
                await llm.abort(sorted(self._in_flight))
                await self._until_idle(_STOP_SECONDS)
            await asyncio.to_thread(llm.shutdown)
        if self._copies is not None:
            shutil.rmtree(self._copies, ignore_errors=True)

    @property
    def _lib(self) -> Library:
        assert self._library is not None, "start comes first"
        return self._library

    async def _launch(self) -> RunningLlm:
        """vLLM with its weights loaded. Raises StartupFailure."""
        library = self._library = await asyncio.to_thread(self._load_library)
        starting = asyncio.create_task(asyncio.to_thread(library.start, self._options.arguments, self._on_load))
        try:
            llm = await asyncio.shield(starting)
        except asyncio.CancelledError:
            starting.add_done_callback(_shut_down)  # nothing ends the thread, but what it makes is not left running
            raise
        except Exception as error:
            raise startup_failure(error, library.log_of_start()) from error
        self._llm = llm
        self._kv_cache_bytes = library.kv_cache_bytes(llm)
        return llm

    async def _warm_up(self, llm: RunningLlm) -> None:
        """One token, so that what answers is known to. Raises StartupFailure, with vLLM shut down."""
        request = GenerationRequest(id="warm-up", prompt_token_ids=(0,), max_tokens=1)
        try:
            params = self._sampling_params(request)
            async for _ in self._chunks(llm, request, params, None):
                pass
        except Exception as error:
            self._llm = None
            await asyncio.to_thread(llm.shutdown)
            raise startup_failure(error, self._lib.log_of_start()) from error
        self._prompt_tokens = self._reused_prompt_tokens = self._generated_tokens = 0

    def _admit(self) -> RunningLlm:
        """vLLM, if it takes a request now. Raises EngineUnavailable or EngineOverloaded."""
        llm = self._running()
        if self._draining:
            raise EngineUnavailable(f"the engine is draining: {self.health().message}")
        places = self._options.max_sequences
        if len(self._in_flight) >= self.capacity():
            raise EngineOverloaded(f"{places} requests run and {self._max_waiting} wait already; try again later")
        return llm

    def _running(self) -> RunningLlm:
        health = self.health()
        if health.status not in ("ready", "draining") or self._llm is None:
            raise EngineUnavailable(f"the engine is {health.status}: {health.message}")
        return self._llm

    def _sampling_params(self, request: GenerationRequest) -> object:
        fields = sampling_fields(request)
        try:
            return self._lib.sampling_params(fields)
        except Exception as error:
            raise RequestFailed(f"vLLM does not take the request: {error}") from error

    async def _chunks(
        self, llm: RunningLlm, request: GenerationRequest, params: object, loaded: Loaded | None
    ) -> AsyncGenerator[TokenChunk, None]:
        """What vLLM makes of a request. Closed early, vLLM's own iterator aborts it."""
        prompt = {"type": "token", "prompt_token_ids": list(request.prompt_token_ids)}
        outputs = llm.generate(prompt, params, request.id, lora_request=loaded.lora_request if loaded else None)
        counted = False
        try:
            async with aclosing(outputs):
                async for output in outputs:
                    if not output.outputs:
                        continue
                    reused = 0
                    if not counted:
                        counted = True
                        reused = output.num_cached_tokens or 0
                        self._prompt_tokens += len(request.prompt_token_ids) - reused
                        self._reused_prompt_tokens += reused
                    self._generated_tokens += len(output.outputs[0].token_ids)
                    yield replace(chunk_of(output.outputs[0], request), reused_prompt_tokens=reused)
        except (EngineUnavailable, RequestFailed):
            if self._health.status == "stopped":
                raise EngineUnavailable(_STOPPED) from None
            raise
        except Exception as error:
            if self._is_dead(error):
                raise EngineUnavailable(_DIED) from error
            raise RequestFailed(f"{type(error).__name__}: {error}") from error

    def _is_dead(self, error: Exception) -> bool:
        return self._lib.is_death(error) or self.health().status == "failed"

    def _on_load(self, load: Load) -> None:
        self._load = load

    async def _forget(self, loaded: Loaded) -> None:
        """Once nobody uses it any more."""
        await loaded.unused.wait()
        if self._llm is not None and not self._llm.errored:
            try:
                await self._llm.remove_lora(loaded.number)
            except Exception:  # noqa: BLE001 - it is out of reach already, and vLLM drops what is used least
                _log.exception("vLLM did not unload adapter %s", loaded.adapter.id)
        remove_copy(loaded)

    async def _until_idle(self, timeout_seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), timeout_seconds)


def _shut_down(starting: asyncio.Task[RunningLlm]) -> None:
    if not starting.cancelled() and starting.exception() is None:
        starting.result().shutdown()
