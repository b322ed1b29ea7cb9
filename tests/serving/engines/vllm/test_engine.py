"""What the engine does around vLLM, over a stand-in for the vllm package; test_live.py has the real one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from safetensors.numpy import save_file

from serving.engines.protocol import (
    Adapter,
    AdapterRefused,
    AdapterUse,
    EngineOverloaded,
    EngineUnavailable,
    GenerationRequest,
    RequestFailed,
)
from serving.engines.vllm_engine.engine import VllmEngine, VllmOptions
from serving.errors import StartupFailure
from tests.serving.engines.vllm.stand_in import StandIn

SEQUENCES = 2
ENDLESS = 10**6


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> VllmOptions:
    weights = tmp_path_factory.mktemp("weights")
    save_file({"model.layers.0.self_attn.q_proj.weight": np.zeros((1, 1))}, weights / "model.safetensors")
    return VllmOptions(model_dir=weights, arguments={}, max_sequences=SEQUENCES, max_adapter_rank=8)


@pytest.fixture
def vllm() -> StandIn:
    return StandIn()


@pytest_asyncio.fixture
async def engine(options: VllmOptions, vllm: StandIn) -> AsyncIterator[VllmEngine]:
    engine = VllmEngine(options, lambda: vllm)
    await engine.start()
    yield engine
    await engine.stop()


def request(name: str = "a", max_tokens: int = 4, **fields: Any) -> GenerationRequest:
    return GenerationRequest(id=name, prompt_token_ids=(7, 10), max_tokens=max_tokens, **fields)


async def tokens(engine: VllmEngine, one: GenerationRequest) -> tuple[int, ...]:
    return tuple([token async for chunk in engine.generate(one) for token in chunk.token_ids])


async def test_tokens_come_with_the_reason_of_their_end(engine: VllmEngine) -> None:
    chunks = [chunk async for chunk in engine.generate(request())]
    assert [chunk.token_ids for chunk in chunks] == [(11,), (12,), (13,), (14,)]
    assert [chunk.finish_reason for chunk in chunks] == [None, None, None, "length"]
    assert (engine.stats().prompt_tokens, engine.stats().reused_prompt_tokens) == (1, 1)
    assert engine.stats().generated_tokens == 4
    assert engine.stats().kv_cache_capacity_bytes == 1000


async def test_the_stop_token_is_not_returned(engine: VllmEngine) -> None:
    chunks = [chunk async for chunk in engine.generate(request(stop_token_ids=frozenset({13})))]
    assert [chunk.token_ids for chunk in chunks] == [(11,), (12,), ()]
    assert chunks[-1].finish_reason == "stop"


async def test_a_closed_stream_ends_in_vllm(engine: VllmEngine, vllm: StandIn) -> None:
    async with aclosing(engine.generate(request(max_tokens=ENDLESS))) as chunks:
        await anext(chunks)
        assert len(vllm.llm.running) == 1
    assert not vllm.llm.running
    assert engine.stats().running == engine.stats().waiting == 0


async def test_clients_take_turns_where_requests_wait(engine: VllmEngine, vllm: StandIn) -> None:
    vllm.llm.step.clear()
    ended: list[str] = []

    async def ask(name: str, client: str) -> None:
        await tokens(engine, request(name, client=client))
        ended.append(name)

    first = [asyncio.create_task(ask(f"greedy{n}", "greedy")) for n in range(8)]
    await _until(lambda: len(vllm.llm.running) == SEQUENCES + 1)
    late = asyncio.create_task(ask("modest", "modest"))
    await asyncio.sleep(0)
    assert engine.stats().waiting == 9 - len(vllm.llm.running)
    vllm.llm.step.set()
    await asyncio.gather(*first, late)
    assert ended.index("modest") <= SEQUENCES + 2, f"a client of one request waited for all of another's: {ended}"


async def test_more_waiting_requests_than_allowed_are_turned_away(engine: VllmEngine, vllm: StandIn) -> None:
    engine.set_max_waiting(1)
    vllm.llm.step.clear()
    asked = [asyncio.create_task(tokens(engine, request(str(n)))) for n in range(SEQUENCES + 1)]
    await _until(lambda: len(vllm.llm.running) == SEQUENCES + 1)
    with pytest.raises(EngineOverloaded):
        await tokens(engine, request("late"))
    vllm.llm.step.set()
    assert await asyncio.gather(*asked) == [(11, 12, 13, 14)] * (SEQUENCES + 1)


async def test_vllms_death_fails_requests_and_the_engine(engine: VllmEngine, vllm: StandIn) -> None:
    vllm.llm.step.clear()
    asked = [asyncio.create_task(tokens(engine, request(str(n)))) for n in range(5)]
    await _until(lambda: len(vllm.llm.running) == SEQUENCES + 1)
    vllm.llm.errored = True
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {EngineUnavailable}
    assert (engine.health().status, engine.health().reason) == ("failed", "EngineDied")
    with pytest.raises(EngineUnavailable):
        await tokens(engine, request("late"))


async def test_a_drained_engine_finishes_what_it_has(engine: VllmEngine, vllm: StandIn) -> None:
    vllm.llm.step.clear()
    asked = asyncio.create_task(tokens(engine, request()))
    await _until(lambda: len(vllm.llm.running) == 1)
    draining = asyncio.create_task(engine.drain(60))
    await asyncio.sleep(0)
    assert engine.health().status == "draining"
    with pytest.raises(EngineUnavailable):
        await tokens(engine, request("late"))
    vllm.llm.step.set()
    await draining
    assert await asked == (11, 12, 13, 14)


async def test_stopping_ends_running_and_waiting_requests(engine: VllmEngine, vllm: StandIn) -> None:
    vllm.llm.step.clear()
    asked = [asyncio.create_task(tokens(engine, request(str(n)))) for n in range(5)]
    await _until(lambda: len(vllm.llm.running) == SEQUENCES + 1)
    await engine.stop()
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert {str(outcome) for outcome in outcomes} == {"the engine has been stopped"}
    assert engine.health().status == "stopped"


async def test_where_vllm_is_not_installed_the_failure_says_what_to_do(options: VllmOptions) -> None:
    engine = VllmEngine(options)
    if _vllm_is_installed():
        pytest.skip("vllm is installed here")
    with pytest.raises(StartupFailure, match=r"EngineNotInstalled.*engine: transformers"):
        await engine.start()
    assert engine.health().status == "failed"


def _vllm_is_installed() -> bool:
    import importlib.util

    return importlib.util.find_spec("vllm") is not None


async def test_a_failed_start_names_the_cause_from_the_log_of_vllms_processes(options: VllmOptions) -> None:
    vllm = StandIn(
        fails_with=RuntimeError("Engine core initialization failed. See root cause above."),
        log="ERROR EngineCore failed to start.\ntorch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB.\n",
    )
    engine = VllmEngine(options, lambda: vllm)
    with pytest.raises(StartupFailure, match=r"OutOfMemory.*Tried to allocate 2 GiB"):
        await engine.start()
    assert engine.health().reason == "OutOfMemory"


def write_adapter(directory: Path, layer: str = "self_attn.q_proj", **config: Any) -> Path:
    directory.mkdir()
    given = {"peft_type": "LORA", "r": 4, "lora_alpha": 16, "target_modules": ["q_proj"], **config}
    (directory / "adapter_config.json").write_text(json.dumps(given))
    tensors = {f"base_model.model.model.layers.0.{layer}.lora_{matrix}.weight": np.ones((1, 1)) for matrix in "AB"}
    save_file(tensors, directory / "adapter_model.safetensors")
    return directory


async def test_a_strength_is_a_factor_of_alpha_and_the_weights_are_the_adapters_own(
    engine: VllmEngine, vllm: StandIn, tmp_path: Path
) -> None:
    path = write_adapter(tmp_path / "pirate", alpha_pattern={"q_proj": 8})
    await engine.load_adapter(Adapter(id="pirate", path=path, strength=0.5))
    [directory] = vllm.llm.adapters.values()
    config = json.loads((directory / "adapter_config.json").read_text())
    assert (config["lora_alpha"], config["alpha_pattern"]) == (8, {"q_proj": 4})
    weights = "adapter_model.safetensors"
    assert (directory / weights).read_bytes() == (path / weights).read_bytes()
    assert json.loads((path / "adapter_config.json").read_text())["lora_alpha"] == 16, "the adapter itself was changed"
    await engine.unload_adapter("pirate")
    assert not directory.exists()


async def test_requests_name_a_loaded_adapter_and_no_other_strength(
    engine: VllmEngine, vllm: StandIn, tmp_path: Path
) -> None:
    adapter = Adapter(id="pirate", path=write_adapter(tmp_path / "pirate"))
    await engine.load_adapter(adapter)
    await engine.load_adapter(adapter)
    assert list(vllm.llm.adapters.values()) == [adapter.path], "it was loaded twice"
    await tokens(engine, request(adapter=AdapterUse(id="pirate", strength=1.0)))
    assert vllm.llm.used[-1] == {"name": "pirate#1", "number": 1, "path": adapter.path}
    with pytest.raises(RequestFailed, match=r"strength 0\.5 is not what the adapter was loaded with"):
        await tokens(engine, request(adapter=AdapterUse(id="pirate", strength=0.5)))
    with pytest.raises(RequestFailed, match="nobody is not loaded"):
        await tokens(engine, request(adapter=AdapterUse(id="nobody")))


async def test_an_adapter_in_use_is_unloaded_after_its_requests(
    engine: VllmEngine, vllm: StandIn, tmp_path: Path
) -> None:
    await engine.load_adapter(Adapter(id="pirate", path=write_adapter(tmp_path / "pirate")))
    vllm.llm.step.clear()
    asked = asyncio.create_task(tokens(engine, request(adapter=AdapterUse(id="pirate"))))
    await _until(lambda: len(vllm.llm.running) == 1)
    unloading = asyncio.create_task(engine.unload_adapter("pirate"))
    await asyncio.sleep(0)
    with pytest.raises(RequestFailed, match="not loaded"):
        await tokens(engine, request(adapter=AdapterUse(id="pirate")))
    assert vllm.llm.adapters, "the adapter was taken from under a request"
    vllm.llm.step.set()
    await unloading
    assert await asked == (11, 12, 13, 14)
    assert not vllm.llm.adapters


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"r": 16}, "RankTooHigh"),
        ({"rank_pattern": {"q_proj": 32}}, "RankTooHigh"),
        ({"peft_type": "LOHA"}, "NotLora"),
        ({"lora_alpha": None}, "AdapterUnreadable"),
        ({"layer": "mixer.q_proj"}, r"UnsupportedModules.*layers\.0\.mixer\.q_proj"),
    ],
)
async def test_an_adapter_that_does_not_fit_is_refused_with_its_reason(
    engine: VllmEngine, tmp_path: Path, config: dict[str, Any], reason: str
) -> None:
    with pytest.raises(AdapterRefused, match=reason):
        await engine.load_adapter(Adapter(id="wrong", path=write_adapter(tmp_path / "wrong", **config)))


async def test_what_vllm_does_not_take_is_refused_in_its_words(
    engine: VllmEngine, vllm: StandIn, tmp_path: Path
) -> None:
    vllm.llm.refuses_adapters = "expected target modules in ['q_proj'] but received ['mixer']"
    adapter = Adapter(id="alien", path=write_adapter(tmp_path / "alien"), strength=0.5)
    with pytest.raises(AdapterRefused, match=r"AdapterUnsupported: .*received \['mixer'\]"):
        await engine.load_adapter(adapter)
    vllm.llm.refuses_adapters = ""
    await engine.load_adapter(adapter)


async def _until(condition: Any) -> None:
    while not condition():
        await asyncio.sleep(0)
