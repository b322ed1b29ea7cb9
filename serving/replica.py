"""One replica: a model's engine and the HTTP application in front of it, in the hands of Ray Serve."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from fastapi import FastAPI
from ray import serve

from presets.serve_config import ServeArgs, ServiceSettings
from presets.weights_source import parse_weights_source
from serving.adapters.check import BaseModel
from serving.adapters.registry import AdapterRegistry
from serving.api.adapters.handler import AdapterAdmin
from serving.api.app import ApiParts, create_app
from serving.api.generation import Generation
from serving.api.models.handler import Models
from serving.api.status.handler import Status
from serving.callers.callers import Callers
from serving.engines.build import build_engine
from serving.engines.protocol import Engine
from serving.errors import StartupFailure
from serving.loopback import keep_to_loopback
from serving.metrics import ServiceMetrics
from serving.text.generator import TextGenerator
from serving.text.reasoning import REASONING_FORMATS
from serving.text.tokenizer import ModelTokenizer, load_tokenizer
from serving.tools.formats import TOOL_FORMATS
from serving.weights import ResolvedWeights, ensure

_log = logging.getLogger("ray.serve")


class EngineFailed(Exception):
    """The engine will not come back in this replica; Ray Serve replaces it."""


class ModelServer:
    """Owns the engine's process and builds the application that Ray Serve sends requests to.

    The constructor returns when requests are answered. What keeps it from that is a StartupFailure, whose text Ray
    hands on to the reconciliation.
    """

    async def __init__(self, args: ServeArgs) -> None:
        keep_to_loopback()
        self._args = args
        self._settings = ServiceSettings()
        self._callers = Callers(args.workspace)
        begun = time.monotonic()
        weights = await asyncio.to_thread(_weights, args)
        self._phases = {"replicaWeights": time.monotonic() - begun}
        self._engine: Engine = build_engine(args.engine, weights.path, args.trust_remote_code, name=args.workspace)
        # Side by side: the tokenizer is this process's own, the engine starts in another.
        self._tokenizer: ModelTokenizer
        self._tokenizer, _ = await asyncio.gather(asyncio.to_thread(load_tokenizer, weights.path), self._engine.start())
        base = BaseModel.of(weights.path, [args.preset, args.weights])
        self._adapters = AdapterRegistry(self._engine, base)
        _log.info("%s is ready after %.1f s", args.workspace, time.monotonic() - begun)

    def __serve_build_asgi_app__(self) -> FastAPI:
        """Ray Serve asks for the application once, after the constructor."""
        args, metrics = self._args, ServiceMetrics()
        metrics.observe_engine(self._engine, args.workspace)
        metrics.observe_callers(self._callers)
        generation = Generation(
            models=Models(
                workspace=args.workspace,
                preset=args.preset,
                adapters=self._adapters,
                strength_by_request=args.engine.kind != "vllm",
            ),
            tokenizer=self._tokenizer,
            generator=TextGenerator(self._engine, self._tokenizer, metrics),
            max_context=args.engine.max_context,
            sampling_defaults=lambda: self._settings.sampling,
            fingerprint=f"modelyard-{args.code_version}",
            marks_in_grammars=args.engine.kind != "vllm",
            tools=TOOL_FORMATS.get(args.tool_parser or ""),
            reasoning=REASONING_FORMATS.get(args.reasoning_parser or ""),
        )
        status = Status(
            engine=self._engine,
            adapters=self._adapters,
            model=args.workspace,
            preset=args.preset,
            weights=args.weights,
            code_version=args.code_version,
            phases=self._phases,
        )
        parts = ApiParts(
            generation=generation,
            adapters=AdapterAdmin(
                workspace=args.workspace,
                registry=self._adapters,
                replicas=lambda: serve.get_replica_context().world_size,
            ),
            status=status,
            metrics=metrics,
            callers=self._callers,
        )
        return create_app(parts)

    async def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Ray Serve calls this once before the first request and with every change of `user_config`.

        Until it returns, new requests go to no replica that is called so: adapters come in the background, and /ready
        tells how far they are. It is a coroutine since they are tasks of the event loop that answers requests.
        """
        self._settings = ServiceSettings.model_validate(user_config)
        self._engine.set_max_waiting(self._settings.max_waiting_requests)
        self._callers.configure(self._settings.api_keys, self._settings.request_timeout_seconds)
        self._adapters.apply(self._settings.adapters)

    def check_health(self) -> None:
        """Ray Serve calls this every few seconds. An engine that is being restarted heals by itself."""
        health = self._engine.health()
        if health.status == "failed":
            raise EngineFailed(f"{health.reason}: {health.message}")

    async def __del__(self) -> None:
        # Ray Serve has waited for the requests in flight when it calls this.
        if hasattr(self, "_adapters"):
            await self._adapters.close()
        if hasattr(self, "_engine"):
            await self._engine.stop()


def _weights(args: ServeArgs) -> ResolvedWeights:
    try:
        source = parse_weights_source(args.weights)
    except ValueError as error:
        raise StartupFailure("WeightsSourceInvalid", f"{args.weights}: {error}") from error
    return ensure(
        source,
        progress=lambda step: _log.info("%s: %s", args.workspace, step.message),
        trust_remote_code=args.trust_remote_code,
    )
