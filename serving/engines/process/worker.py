"""The child's side: load the model, then one step after another, with the commands that came in between."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterator

import torch

from serving.engines.process.adapter_reader import AdapterReader
from serving.engines.process.inbox import Inbox, end_without_parent
from serving.engines.process.messages import (
    AdapterLoaded,
    AdapterNotLoaded,
    Cancel,
    Command,
    Event,
    LaunchOptions,
    LoadAdapter,
    Ping,
    Started,
    StartFailed,
    StepReport,
    Submit,
    UnloadAdapter,
    encode,
)
from serving.engines.protocol import AdapterRefused, RequestFailed
from serving.engines.transformers_engine.engine import TransformersEngine
from serving.engines.transformers_engine.loading import load_model, pick_device
from serving.engines.transformers_engine.warmup import warm_up
from serving.errors import StartupFailure

_log = logging.getLogger(__name__)


def serve(connection: socket.socket, inbox: Inbox, options: LaunchOptions) -> None:
    """Load the model, say how that went, and answer commands for as long as there is a parent."""
    try:
        engine, started = _start(options, inbox)
    except StartupFailure as failure:
        _log.error("%s", failure)
        _send(connection, StartFailed(failure.reason, failure.message))
        raise SystemExit(1) from failure
    _log.info("ready: load %.1f s, warm-up %.1f s", started.load_seconds, started.warmup_seconds)
    _send(connection, started)
    reader = AdapterReader(engine.adapters, when_done=inbox.wake)
    while True:
        failures = _apply(engine, reader, inbox.collect(wait=not engine.can_step))
        for event in _take_adapters(engine, reader):
            _send(connection, event)
        outcome = engine.step()
        for adapter_id, why in engine.adapters.take_lost():
            _send(connection, AdapterNotLoaded(adapter_id, why.reason, why.message))
        report = StepReport(chunks=outcome.chunks, failures=failures | outcome.failures, stats=engine.stats())
        _send(connection, report)


def _start(options: LaunchOptions, inbox: Inbox) -> tuple[TransformersEngine, Started]:
    args = options.engine
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    device = pick_device()
    form = f"{args.quantization} and {args.dtype}" if args.quantization else args.dtype
    _log.info("loading %s in %s on %s with %d threads", options.model_dir, form, device, torch.get_num_threads())
    begin = time.monotonic()
    model = load_model(
        options.model_dir,
        dtype=args.dtype,
        device=device,
        max_context=args.max_context,
        trust_remote_code=options.trust_remote_code,
        quantization=args.quantization,
    )
    loaded = time.monotonic()
    engine = TransformersEngine(
        model,
        max_sequences=args.max_sequences,
        max_context=args.max_context,
        model_dir=options.model_dir,
        when_compiled=inbox.wake,
    )
    warm_up(engine)
    engine.record_steps()
    return engine, Started(load_seconds=loaded - begin, warmup_seconds=time.monotonic() - loaded)


def _take_adapters(engine: TransformersEngine, reader: AdapterReader) -> Iterator[Event]:
    """Have the engine take what has been read since; what came of it."""
    for adapter, read in reader.collect():
        try:
            if isinstance(read, AdapterRefused):
                raise read
            engine.load_adapter(adapter, read)
        except AdapterRefused as refused:
            _log.warning("the adapter %s is refused: %s", adapter.id, refused)
            yield AdapterNotLoaded(adapter.id, refused.reason, refused.message)
        except Exception as error:  # noqa: BLE001 - an adapter must not end the requests that run without it
            _log.exception("the adapter %s cannot be taken", adapter.id)
            yield AdapterNotLoaded(adapter.id, "OutOfMemory", f"there is no room for it in memory: {error}")
        else:
            _log.info("the adapter %s is loaded from %s", adapter.id, adapter.path)
            yield AdapterLoaded(adapter.id)


def _apply(engine: TransformersEngine, reader: AdapterReader, commands: list[Command]) -> dict[str, str]:
    """Returns why requests were refused, by id."""
    refused: dict[str, str] = {}
    for command in commands:
        match command:
            case Submit(request):
                try:
                    engine.submit(request)
                except RequestFailed as failure:
                    refused[request.id] = str(failure)
            case Cancel(request_id):
                engine.cancel(request_id)
            case LoadAdapter(adapter):
                reader.read(adapter)
            case UnloadAdapter(adapter_id):
                engine.adapters.remove(adapter_id)
            case Ping():
                pass  # the report of the step that follows is the answer
    return refused


def _send(connection: socket.socket, event: Event) -> None:
    try:
        connection.sendall(encode(event))
    except OSError:
        end_without_parent()
