"""The child's side: load the model, then one step after another, with the commands that came in between."""

from __future__ import annotations

import logging
import os
import queue
import socket
import threading
import time

import torch

from serving.engines.process.messages import (
    Cancel,
    Command,
    Event,
    LaunchOptions,
    Started,
    StartFailed,
    StepReport,
    Submit,
    encode,
    read_command,
)
from serving.engines.protocol import RequestFailed
from serving.engines.transformers_engine.engine import TransformersEngine
from serving.engines.transformers_engine.loading import load_model, pick_device
from serving.engines.transformers_engine.warmup import warm_up
from serving.errors import StartupFailure

_log = logging.getLogger(__name__)


def serve(connection: socket.socket, options: LaunchOptions) -> None:
    """Answer commands until the parent is gone, which ends the process at once, whatever it is doing."""
    commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(connection, commands), name="commands", daemon=True).start()
    try:
        engine, started = _start(options)
    except StartupFailure as failure:
        _log.error("%s", failure)
        _send(connection, StartFailed(failure.reason, failure.message))
        raise SystemExit(1) from failure
    _log.info("ready: load %.1f s, warm-up %.1f s", started.load_seconds, started.warmup_seconds)
    _send(connection, started)
    while True:
        failures = _apply(engine, _collect(commands, wait=not engine.has_work))
        outcome = engine.step()
        report = StepReport(chunks=outcome.chunks, failures=failures | outcome.failures, stats=engine.stats())
        _send(connection, report)


def _start(options: LaunchOptions) -> tuple[TransformersEngine, Started]:
    args = options.engine
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    device = pick_device()
    _log.info("loading %s in %s on %s with %d threads", options.model_dir, args.dtype, device, torch.get_num_threads())
    begin = time.monotonic()
    model = load_model(
        options.model_dir,
        dtype=args.dtype,
        device=device,
        max_context=args.max_context,
        trust_remote_code=options.trust_remote_code,
    )
    loaded = time.monotonic()
    engine = TransformersEngine(model, max_sequences=args.max_sequences, max_context=args.max_context)
    warm_up(engine)
    return engine, Started(load_seconds=loaded - begin, warmup_seconds=time.monotonic() - loaded)


def _receive(connection: socket.socket, commands: queue.SimpleQueue[Command]) -> None:
    """A thread of its own, so that the parent's end is noticed during a long load or step too."""
    stream = connection.makefile("rb")
    while True:
        try:
            command = read_command(stream)
        except OSError:
            command = None
        if command is None:
            _log.info("the replica is gone; the engine ends")
            os._exit(0)
        commands.put(command)


def _collect(commands: queue.SimpleQueue[Command], *, wait: bool) -> list[Command]:
    """What has come in; with `wait`, at least one command."""
    collected = [commands.get()] if wait else []
    while not commands.empty():
        collected.append(commands.get())
    return collected


def _apply(engine: TransformersEngine, commands: list[Command]) -> dict[str, str]:
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
    return refused


def _send(connection: socket.socket, event: Event) -> None:
    try:
        connection.sendall(encode(event))
    except OSError:
        _log.info("the replica is gone; the engine ends")
        os._exit(0)
