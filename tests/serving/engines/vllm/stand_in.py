"""Stands in for the vllm package, which is in no locked environment: test_live.py has the real one.

It counts: the answer to a prompt that ends in token n is n + 1, n + 2 and so on, one token a step.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from serving.engines.vllm_engine.arguments import Arguments
from serving.engines.vllm_engine.library import CompletionLike, Load, LogprobLike, OutputLike, RunningLlm


class Dead(Exception):
    """As vLLM's EngineDeadError."""


@dataclass
class Completion:
    token_ids: Sequence[int]
    finish_reason: str | None = None
    logprobs: Sequence[Mapping[int, LogprobLike]] | None = None


@dataclass
class Output:
    outputs: Sequence[CompletionLike]
    num_cached_tokens: int | None = 1


@dataclass
class StandInLlm:
    report: Callable[[Load], None]
    errored: bool = False
    refuses_adapters: str = ""
    running: dict[str, str | None] = field(default_factory=dict)
    """Requests, and what ends each before its last token."""
    adapters: dict[int, Path] = field(default_factory=dict)
    used: list[object] = field(default_factory=list)
    """The adapter of each request."""
    step: asyncio.Event = field(default_factory=asyncio.Event)
    """Set: steps go on by themselves."""

    async def generate(
        self, prompt: Any, sampling_params: Any, request_id: str, *, lora_request: object | None = None
    ) -> AsyncGenerator[OutputLike, None]:
        self.used.append(lora_request)
        self.running[request_id] = None
        last, made = prompt["prompt_token_ids"][-1], 0
        try:
            while True:
                self.report(Load(running=len(self.running), waiting=0, kv_cache_usage=0.5))
                while not self.step.is_set() and not self.errored and not self.running[request_id]:
                    await asyncio.sleep(0)
                if self.errored:
                    raise Dead
                if self.running[request_id]:
                    yield Output([Completion((), "abort")])
                    return
                made += 1
                yield Output([Completion((last + made,), _finish(last + made, made, sampling_params))])
                if _finish(last + made, made, sampling_params):
                    return
                await asyncio.sleep(0)
        finally:
            del self.running[request_id]

    async def abort(self, request_id: list[str]) -> None:
        for one in request_id:
            if one in self.running:
                self.running[one] = "abort"

    async def add_lora(self, lora_request: Any) -> bool:
        if self.refuses_adapters:
            raise Exception(self.refuses_adapters)  # vLLM raises no other
        self.adapters[lora_request["number"]] = lora_request["path"]
        return True

    async def remove_lora(self, lora_id: int) -> bool:
        return self.adapters.pop(lora_id, None) is not None

    def shutdown(self) -> None:
        self.errored = True


def _finish(token: int, made: int, params: Mapping[str, Any]) -> str | None:
    if token in params["stop_token_ids"]:
        return "stop"
    return "length" if made == params["max_tokens"] else None


@dataclass
class StandIn:
    """Implements serving.engines.vllm_engine.library.Library."""

    fails_with: Exception | None = None
    log: str = ""
    started_with: Arguments = field(default_factory=dict)
    _llm: StandInLlm | None = None

    @property
    def llm(self) -> StandInLlm:
        assert self._llm is not None
        return self._llm

    def start(self, arguments: Arguments, report: Callable[[Load], None]) -> RunningLlm:
        if self.fails_with:
            raise self.fails_with
        self.started_with = arguments
        self._llm = StandInLlm(report)
        self._llm.step.set()
        return self._llm

    def sampling_params(self, fields: Mapping[str, Any]) -> object:
        return fields

    def lora_request(self, name: str, number: int, path: Path) -> object:
        return {"name": name, "number": number, "path": path}

    def is_death(self, error: Exception) -> bool:
        return isinstance(error, Dead)

    def kv_cache_bytes(self, llm: RunningLlm) -> int:
        return 1000

    def pid(self, llm: RunningLlm) -> int | None:
        return None

    def log_of_start(self) -> str:
        return self.log
