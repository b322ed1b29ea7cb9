"""The HTTP API over a real engine process: what clients hear of what only a process can do to them."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from presets.serve_config import AdapterSettings, ApiKey, SamplingDefaults
from serving.adapters.check import BaseModel
from serving.adapters.registry import AdapterRegistry
from serving.adapters.report import AdapterReport
from serving.api.adapters.handler import AdapterAdmin
from serving.api.app import ApiParts, create_app
from serving.api.generation import Generation
from serving.api.models.handler import Models
from serving.api.status.handler import Status
from serving.callers.callers import Callers
from serving.engines.process.engine_process import EngineProcess
from serving.engines.process.restarts import RestartPolicy
from serving.engines.protocol import GenerationRequest, RequestFailed
from serving.grammars import grammar_of, json_of
from serving.metrics import ServiceMetrics
from serving.text.generator import TextGenerator
from serving.text.tokenizer import load_tokenizer
from tests.serving.engines.driving import request
from tests.serving.engines.test_engine_process import ENDLESS, SEQUENCES, options, tokens_of, until
from tests.serving.engines.tiny_adapters import make_adapter
from tests.serving.engines.tiny_models import CONTEXT, FAMILIES, prompt, save
from tests.serving.engines.tiny_tokenizer import END, save_tokenizer

MODEL = "tiny"
KEY = "a key of one's own"
PROMPT = [9, 10, 11]

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Service:
    engine: EngineProcess
    registry: AdapterRegistry
    cache: Path
    model_dir: Path
    http: httpx.AsyncClient

    async def ask(self, model: str, **more: Any) -> httpx.Response:
        body = {"model": model, "prompt": PROMPT, "max_tokens": 8, "temperature": 0, **more}
        return await self.http.post("/v1/completions", json=body)

    async def text(self, model: str) -> str:
        response = await self.ask(model)
        assert response.status_code == 200, response.text
        return response.json()["choices"][0]["text"]

    async def adapter(self, name: str) -> AdapterReport:
        """What /ready says of it."""
        listed = (await self.http.get("/ready")).json()["adapters"]["adapters"]
        return next(AdapterReport.model_validate(each) for each in listed if each["name"] == name)

    async def load(self, name: str, directory: Path) -> httpx.Response:
        body = {"lora_name": name, "lora_path": f"file:{directory}"}
        return await self.http.post("/v1/load_lora_adapter", json=body)

    async def restart(self) -> None:
        before = self.engine.health().pid
        assert before is not None
        os.kill(before, signal.SIGKILL)
        await until(lambda: self.engine.health().status == "restarting")
        await until(lambda: self.engine.health().status == "ready")

    async def settled(self, name: str, state: str) -> AdapterReport:
        def settled() -> bool:
            slot = self.registry.find(name)
            return slot is not None and slot.state == state

        await until(settled)
        return await self.adapter(name)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    model_dir = save_tokenizer(save(FAMILIES["llama"](), folder / "model"))
    engine = EngineProcess(options(model_dir), RestartPolicy(limit=20, first_delay_seconds=0.01))
    await engine.start()
    registry = AdapterRegistry(engine, BaseModel(names=()), cache_dir=folder / "cache")
    callers = Callers(MODEL)
    callers.configure((ApiKey(name="admin", sha256=hashlib.sha256(KEY.encode()).hexdigest(), admin=True),), None)
    app = _application(engine, registry, callers, model_dir)
    transport, headers = httpx.ASGITransport(app), {"Authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://service", headers=headers, timeout=60) as http:
        yield Service(engine, registry, folder / "cache", model_dir, http)
    await registry.close()
    await engine.stop()


def _application(
    engine: EngineProcess, registry: AdapterRegistry, callers: Callers, model_dir: Path
) -> Callable[..., Any]:
    tokenizer, metrics = load_tokenizer(model_dir), ServiceMetrics()
    generation = Generation(
        models=Models(workspace=MODEL, preset=MODEL, adapters=registry),
        tokenizer=tokenizer,
        generator=TextGenerator(engine, tokenizer, metrics),
        max_context=CONTEXT,
        sampling_defaults=SamplingDefaults,
        fingerprint="fp_test",
    )
    status = Status(
        engine=engine, adapters=registry, model=MODEL, preset=MODEL, weights="file:", code_version="c0de", phases={}
    )
    admin = AdapterAdmin(workspace=MODEL, registry=registry)
    return create_app(ApiParts(generation=generation, adapters=admin, status=status, metrics=metrics, callers=callers))


def settings(name: str, directory: Path) -> AdapterSettings:
    return AdapterSettings(name=name, source=f"file:{directory}", rank=16)


@pytest.mark.asyncio(loop_scope="module")
async def test_an_adapter_that_the_new_process_cannot_read_is_told_and_can_be_loaded_again(
    service: Service, tmp_path: Path
) -> None:
    source = make_adapter(service.model_dir, tmp_path / "polite", seed=1)
    configured, requested = settings("configured", source), make_adapter(service.model_dir, tmp_path / "other", seed=2)
    service.registry.apply([configured])
    await service.settled("configured", "Ready")
    assert (await service.load("requested", requested)).status_code == 200
    expected = {name: await service.text(name) for name in (MODEL, "configured", "requested")}
    assert len(set(expected.values())) == 3

    kept = [Path(shutil.move(each, tmp_path / f"kept-{each.name}")) for each in (source, requested)]
    shutil.rmtree(service.cache)
    await service.restart()
    for name in ("configured", "requested"):
        report = await service.settled(name, "Failed")
        assert (report.version, report.reason) == (None, "AdapterNotFound"), report
        answer = await service.ask(name)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "adapter_failed"), answer.text
        assert "AdapterNotFound" in answer.json()["error"]["message"]
    assert await service.text(MODEL) == expected[MODEL]
    assert [card["id"] for card in (await service.http.get("/v1/models")).json()["data"]] == [MODEL]

    for here, there in zip(kept, (source, requested), strict=True):
        shutil.move(here, there)
    service.registry.apply([configured])
    await service.settled("configured", "Ready")
    assert (await service.load("requested", requested)).status_code == 200, "its name is taken by what is not there"
    for name, text in expected.items():
        assert await service.text(name) == text


@pytest.mark.asyncio(loop_scope="module")
async def test_an_adapter_whose_copy_is_gone_is_fetched_again_by_itself(service: Service, tmp_path: Path) -> None:
    source = make_adapter(service.model_dir, tmp_path / "polite", seed=3)
    service.registry.apply([settings("healing", source)])
    version = (await service.settled("healing", "Ready")).version
    expected = await service.text("healing")
    shutil.rmtree(service.cache)
    await service.restart()
    report = await service.settled("healing", "Ready")
    assert report.version == version
    assert await service.text("healing") == expected


@pytest.mark.asyncio(loop_scope="module")
async def test_while_it_is_fetched_again_requests_are_told_to_come_back(service: Service, tmp_path: Path) -> None:
    source = make_adapter(service.model_dir, tmp_path / "polite", seed=4)
    service.registry.apply([settings("coming", source)])
    await service.settled("coming", "Ready")
    shutil.rmtree(service.cache)
    before = service.engine.health().pid
    assert before is not None
    os.kill(before, signal.SIGKILL)
    slot = service.registry.find("coming")
    assert slot is not None
    async with asyncio.timeout(180):
        while slot.version is not None:
            await asyncio.sleep(0)
    report, answer = await service.adapter("coming"), await service.ask("coming")
    assert (report.state, report.reason) == ("Loading", "AdapterUnreadable")
    assert "could not read it again" in report.message
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "adapter_loading")
    await service.settled("coming", "Ready")


@pytest.mark.asyncio(loop_scope="module")
async def test_more_choices_than_there_are_places_are_a_mistake_and_no_overload(service: Service) -> None:
    service.engine.set_max_waiting(2)
    try:
        for asked, param in (({"n": SEQUENCES + 3}, "n"), ({"prompt": [PROMPT] * (SEQUENCES + 3)}, "prompt")):
            answer = await service.ask(MODEL, **asked)
            assert answer.status_code == 400, answer.text
            error = answer.json()["error"]
            assert (error["param"], error["code"]) == (param, "invalid_value")
            assert f"at most {SEQUENCES + 2} at once" in error["message"]
        answer = await service.ask(MODEL, n=SEQUENCES + 2)
        assert len(answer.json()["choices"]) == SEQUENCES + 2
    finally:
        service.engine.set_max_waiting(256)


LARGE = {
    "anyOf": [
        {"properties": {f"k{n}": {"const": n}, "x": {"type": "integer", "minimum": n}}, "required": [f"k{n}"]}
        for n in range(1900)
    ]
}
"""A schema that takes most of a second to compile."""


def held(request_id: str, grammar: str) -> GenerationRequest:
    return replace(request(request_id, prompt(5), 40, stop=frozenset({END})), grammar=grammar)


@pytest.mark.asyncio(loop_scope="module")
async def test_others_get_their_tokens_while_a_large_schema_is_compiled(service: Service) -> None:
    engine = service.engine
    # the tokenizer of grammars is made for the first one
    await tokens_of(engine, held("small", await grammar_of('start: "yes" | "no"')))
    made = 0

    async def count() -> None:
        nonlocal made
        async for chunk in engine.generate(request("free", prompt(5), ENDLESS)):
            made += len(chunk.token_ids)

    large = await grammar_of(f"start: {json_of(LARGE)}")
    free = asyncio.create_task(count())
    await until(lambda: made > 0)
    leaving = asyncio.create_task(tokens_of(engine, held("leaving", large)))
    before = made
    async with aclosing(engine.generate(held("held", large))) as chunks:
        await anext(chunks)
        meanwhile = made - before
    assert meanwhile > 20, "the schema was compiled between two steps"
    leaving.cancel()
    free.cancel()
    await until(lambda: engine.stats().running == 0)
    with pytest.raises(RequestFailed, match="nowhere"):
        await tokens_of(engine, held("bad", '{"grammars": [{"lark_grammar": "start: nowhere"}]}'))
    assert engine.stats().waiting == 0
