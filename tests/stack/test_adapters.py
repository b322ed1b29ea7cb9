"""Adapters, end to end: added, used, refused and removed by an edit of the config, under streams, without a restart."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.stack.conftest import CHAT
from tests.stack.load import Streams
from tests.stack.yard import CAPITAL, PROJECT, Yard, workspace

pytestmark = pytest.mark.stack

_MAKE = """
import sys
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

model, directory, seed, rank = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
torch.manual_seed(seed)
base = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
config = LoraConfig(r=rank, lora_alpha=4 * rank, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
adapted = get_peft_model(base, config)
for name, weight in adapted.named_parameters():
    if "lora_B" in name:
        torch.nn.init.normal_(weight, std=0.2)  # peft's own zeros would change nothing
adapted.save_pretrained(directory)
"""


@pytest.fixture(scope="module")
def smollm2(yard: Yard) -> Path:
    """The directory of the model that the yard serves, as its replicas have it."""
    source = yard.state(CHAT)["weights"]
    command = [PROJECT / ".venv-serving/bin/python", "-m", "serving.weights", source, "--human"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    return Path(done.stdout.splitlines()[-2])


@pytest.fixture(scope="module")
def adapters(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the adapters `first`, `second` and `wide`, which has rank 64."""
    folder = tmp_path_factory.mktemp("adapters")
    for name, seed, rank in (("first", 1, 8), ("second", 2, 8), ("wide", 3, 64)):
        command = [PROJECT / ".venv-serving/bin/python", "-c", _MAKE, smollm2, folder / name, str(seed), str(rank)]
        subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    return folder


@pytest.fixture(autouse=True)
def plain(yard: Yard) -> Iterator[None]:
    """Leave the yard as the other tests want it."""
    yield
    yard.up(workspace(CHAT))


def adapted(folder: Path, *names: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - any field of an adapter
    """The yard's workspace with adapters that are directories of this machine."""
    spec = workspace(CHAT)
    spec["inference"]["adapters"] = [
        {"source": {"name": name, "uri": f"file:{folder / name}"}, **more} for name in names
    ]
    return spec


def likeliest(yard: Yard, model: str, **more: Any) -> dict[str, float]:  # noqa: ANN401 - any parameter of a request
    """The first tokens that a model holds for likeliest, with their log probabilities.

    A text would tell less: random adapters leave near ties, which the next request's place in a batch tips.
    """
    answered = yard.client(CHAT).chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": CAPITAL}],
        max_tokens=1,
        temperature=0,
        logprobs=True,
        top_logprobs=20,
        **more,
    )
    logprobs = answered.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content
    return {each.token: each.logprob for each in logprobs.content[0].top_logprobs}


def alike(one: dict[str, float], other: dict[str, float]) -> bool:
    """Whether two are the same but for the rounding of bfloat16."""
    common = one.keys() & other.keys()
    return len(common) >= 10 and max(abs(one[token] - other[token]) for token in common) < 0.3


def test_adapters_are_added_and_removed_under_streams_without_a_restart(yard: Yard, adapters: Path) -> None:
    engine, before = yard.engine_pid(CHAT), likeliest(yard, CHAT)
    yard.configure(adapted(adapters, "first", "second"))
    assert "in place: adapters" in " ".join(yard.pulumi("preview").expect().text.split())
    with Streams(yard, CHAT, clients=4) as streams:
        yard.up(adapted(adapters, "first", "second"))
        assert yard.conditions(CHAT)["AdaptersReady"] == "True"
        first, second = likeliest(yard, "first"), likeliest(yard, f"{CHAT}:second")
        yard.up(adapted(adapters, "second"))
        assert alike(likeliest(yard, "second"), second), "an adapter changed when another one went"
        with pytest.raises(openai.NotFoundError):
            likeliest(yard, "first")
    assert not streams.failures, f"{len(streams.failures)} failed, the first: {streams.failures[0]}"
    different = [(before, first), (before, second), (first, second)]
    assert not any(alike(*pair) for pair in different), "an adapter is listed, but its weights are not used"
    assert alike(likeliest(yard, CHAT), before), "an adapter leaks into the model itself"
    assert yard.engine_pid(CHAT) == engine, "an adapter restarted the engine"


def test_the_list_of_models_and_the_outputs_name_them(yard: Yard, adapters: Path) -> None:
    yard.up(adapted(adapters, "first"))
    assert [model.id for model in yard.client(CHAT).models.list()] == [CHAT, f"{CHAT}:first"]
    assert yard.outputs()[CHAT]["models"] == [CHAT, f"{CHAT}:first"]


def test_strength_changes_what_is_said_down_to_the_model_itself(yard: Yard, adapters: Path) -> None:
    yard.up(adapted(adapters, "first", strength="1.0"))
    engine, plain, full = yard.engine_pid(CHAT), likeliest(yard, CHAT), likeliest(yard, "first")
    assert alike(likeliest(yard, "first", extra_body={"adapter_strength": 0.0}), plain)
    half = likeliest(yard, "first", extra_body={"adapter_strength": 0.5})
    assert not alike(half, plain)
    assert not alike(half, full)
    yard.up(adapted(adapters, "first", strength="0.0"))
    assert alike(likeliest(yard, "first"), plain)
    assert alike(likeliest(yard, "first", extra_body={"adapter_strength": 1.0}), full)
    assert yard.engine_pid(CHAT) == engine


def test_a_refused_adapter_fails_the_update_with_its_reason_and_all_else_serves(yard: Yard, adapters: Path) -> None:
    yard.up(adapted(adapters, "first"))
    first, engine = likeliest(yard, "first"), yard.engine_pid(CHAT)
    yard.configure(adapted(adapters, "first", "wide"))
    failed = yard.pulumi("up").expect_failure().text
    assert "RankTooHigh" in failed
    assert "adapter wide" in failed
    assert "the config of the last successful update is served" in failed
    assert alike(likeliest(yard, "first"), first)
    assert yard.engine_pid(CHAT) == engine
    yard.up(adapted(adapters, "first"), refresh=True)
    assert yard.conditions(CHAT)["AdaptersReady"] == "True"


def test_an_adapter_without_effect_is_refused_by_the_engine_and_named(
    yard: Yard, adapters: Path, smollm2: Path, tmp_path: Path
) -> None:
    script = _MAKE.replace("std=0.2", "std=0.0")
    command = [PROJECT / ".venv-serving/bin/python", "-c", script, smollm2, tmp_path / "empty", "4", "8"]
    subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    yard.configure(adapted(tmp_path, "empty"))
    failed = yard.pulumi("up").expect_failure().text
    assert "NoEffect" in failed
    assert "adapter empty" in failed
    assert likeliest(yard, CHAT)
    yard.up(workspace(CHAT))
