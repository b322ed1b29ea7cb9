"""Requests come, go, wait and fail without touching each other."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from serving.engines.protocol import RequestFailed, Sampling
from serving.engines.transformers_engine.engine import EngineBroken, TransformersEngine
from tests.serving.engines.conftest import BuildEngine
from tests.serving.engines.driving import request, run
from tests.serving.engines.tiny_models import POISON, VOCABULARY, prompt

DRAWN = Sampling(temperature=1.0, top_p=0.9, seed=11)


def test_a_sequence_ends_at_max_tokens(build: BuildEngine) -> None:
    answers = run(build(), request("a", prompt(5), max_tokens=3))
    assert len(answers.tokens["a"]) == 3
    assert answers.finish == {"a": "length"}


def test_a_sequence_ends_before_its_stop_token(build: BuildEngine) -> None:
    engine = build()
    unstopped = run(engine, request("a", prompt(5))).tokens["a"]
    stop = unstopped[4]
    answers = run(engine, request("a", prompt(5), stop=frozenset({stop})))
    assert answers.tokens["a"] == unstopped[: unstopped.index(stop)]
    assert answers.finish == {"a": "stop"}


def test_prompt_and_completion_together_fill_the_context_and_no_more(build: BuildEngine) -> None:
    answers = run(build(max_context=20), request("a", prompt(15), max_tokens=100))
    assert len(answers.tokens["a"]) == 5
    assert answers.finish == {"a": "length"}


@pytest.mark.parametrize(
    ("prompt_ids", "max_tokens", "message"),
    [
        ((), 4, "no tokens"),
        (prompt(20), 4, "has 20 tokens; with a completion at most 20 fit"),
        ((3, VOCABULARY), 4, f"outside 0 to {VOCABULARY - 1}"),
        ((3, -1), 4, f"outside 0 to {VOCABULARY - 1}"),
        ((3,), 0, "max_tokens is 0"),
    ],
)
def test_a_request_that_no_step_can_answer_is_refused(
    build: BuildEngine, prompt_ids: tuple[int, ...], max_tokens: int, message: str
) -> None:
    with pytest.raises(RequestFailed, match=message):
        build(max_context=20).submit(request("a", prompt_ids, max_tokens))


def test_requests_beyond_the_slots_wait_in_order(build: BuildEngine) -> None:
    engine = build(max_sequences=2)
    for name in "abcd":
        engine.submit(request(name, prompt(4), max_tokens=3))
    engine.step()
    assert (engine.stats().running, engine.stats().waiting) == (2, 2)
    answers = run(engine)
    assert list(answers.finish) == ["a", "b", "c", "d"]


def test_a_cancelled_request_frees_its_slot_for_the_next_step(build: BuildEngine) -> None:
    engine = build(max_sequences=1)
    engine.submit(request("running", prompt(5), max_tokens=1000))
    engine.submit(request("waiting", prompt(5), max_tokens=1000))
    engine.submit(request("next", prompt(5), max_tokens=4))
    engine.step()
    engine.cancel("waiting")
    engine.cancel("running")
    engine.cancel("running")
    assert set(engine.step().chunks) == {"next"}
    assert (engine.stats().running, engine.stats().waiting) == (1, 0)


def test_stats_count_tokens_and_bytes(build: BuildEngine) -> None:
    engine = build(max_sequences=2, max_context=100)
    run(engine, request("a", prompt(5), max_tokens=3))
    engine.submit(request("b", prompt(10), max_tokens=3))
    engine.step()
    stats = engine.stats()
    assert stats.prompt_tokens == 15
    assert stats.generated_tokens == 4
    bytes_per_token = 3 * 2 * 2 * 16 * 4  # layers, keys and values, heads, dimensions, float32
    assert stats.kv_cache_bytes == 10 * bytes_per_token
    assert stats.kv_cache_capacity_bytes == 2 * 100 * bytes_per_token


def test_a_seed_gives_the_same_tokens_alone_and_in_a_batch(build: BuildEngine) -> None:
    engine = build(max_sequences=6)
    alone = run(engine, request("a", prompt(9), sampling=DRAWN)).tokens["a"]
    others = [request(str(n), prompt(5 + n), sampling=Sampling(seed=n)) for n in range(4)]
    batch = run(engine, *others, joining={3: request("a", prompt(9), sampling=DRAWN)})
    assert batch.tokens["a"] == alone
    other_seed = Sampling(temperature=1.0, top_p=0.9, seed=12)
    assert run(engine, request("a", prompt(9), sampling=other_seed)).tokens["a"] != alone


def test_without_a_seed_tokens_differ_from_time_to_time(build: BuildEngine) -> None:
    engine = build()
    assert len({run(engine, request("a", prompt(9), sampling=Sampling())).tokens["a"] for _ in range(3)}) > 1


def test_a_request_that_makes_nan_fails_alone_and_leaves_a_clean_slot(build: BuildEngine, poisoned_dir: Path) -> None:
    engine = build(model_dir=poisoned_dir)
    expected = run(engine, request("good", prompt(9))).tokens["good"]
    bad = request("bad", (*prompt(30), POISON, *prompt(4)))
    answers = run(engine, bad, joining={1: request("good", prompt(9))})
    assert "no finite probabilities" in answers.failures["bad"]
    assert answers.tokens == {"good": expected}
    # beside a longer sequence, attention reads the slot up to where the failed request wrote, with a weight of zero
    again = run(engine, request("good", prompt(9)), request("longer", prompt(60)))
    assert not again.failures, "NaN stayed in the slot of the failed request"
    assert again.tokens["good"] == expected


class Explosive(torch.nn.Module):
    """An embedding that raises on one token."""

    def __init__(self, embedding: torch.nn.Module) -> None:
        super().__init__()
        self.embedding = embedding
        self.weight = embedding.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        if bool((ids == POISON).any()):
            raise IndexError("no such token")
        return self.embedding(ids)


@pytest.fixture
def explosive(build: BuildEngine) -> TransformersEngine:
    engine = build(recorded=False)
    engine.model.set_input_embeddings(Explosive(engine.model.get_input_embeddings()))
    return engine


def test_a_request_that_raises_fails_alone(explosive: TransformersEngine) -> None:
    expected = run(explosive, request("good", prompt(9))).tokens["good"]
    bad = request("bad", (*prompt(30), POISON, *prompt(4)))
    answers = run(explosive, request("good", prompt(9)), bad)
    assert answers.failures == {"bad": "IndexError: no such token"}
    assert answers.tokens == {"good": expected}
    assert run(explosive, bad).failures.keys() == {"bad"}, "alone it fails too, and the engine goes on"
    assert run(explosive, request("good", prompt(9))).tokens["good"] == expected


def test_an_engine_that_can_run_no_step_says_so(explosive: TransformersEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the device is gone")

    monkeypatch.setattr(explosive.model, "forward", broken)
    explosive.submit(request("a", prompt(9)))
    with pytest.raises(EngineBroken, match="the device is gone"):
        explosive.step()
