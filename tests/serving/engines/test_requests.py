"""What requests ask for beside their tokens reaches each token that the engine makes, alone and in a batch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from serving.engines.protocol import RequestFailed, Sampling
from tests.serving.engines.conftest import BuildEngine
from tests.serving.engines.driving import GREEDY, request, run
from tests.serving.engines.tiny_models import VOCABULARY, Reference, prompt

EVERYTHING = Sampling(
    temperature=0.9,
    top_p=0.95,
    min_p=0.01,
    repetition_penalty=1.1,
    presence_penalty=0.4,
    frequency_penalty=0.2,
    logit_bias={20: 3.0, 30: -5.0},
    seed=4,
)


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt_oss"])
@pytest.mark.parametrize(
    "sampling", [GREEDY, Sampling(temperature=1.7, top_k=9, seed=1), EVERYTHING], ids=["greedy", "drawn", "penalised"]
)
def test_log_probabilities_are_those_of_the_model_itself(
    family: str, sampling: Sampling, tiny_dir: Callable[[str], Path], build: BuildEngine
) -> None:
    asking = request("a", prompt(23), sampling=sampling, logprobs=4)
    answers = run(build(family), asking, request("b", prompt(9)), request("c", prompt(5), logprobs=0))
    tokens = answers.tokens["a"]
    told = answers.logprobs["a"]
    expected = Reference(tiny_dir(family)).logprobs(prompt(23) + tokens[:-1])[22:]
    assert len(told) == len(tokens) == len(expected)
    torch.testing.assert_close(
        torch.tensor([one.logprob for one in told]), expected.gather(-1, torch.tensor(tokens)[:, None])[:, 0]
    )
    values, ids = expected.topk(4)
    assert [[token for token, _ in one.top] for one in told] == ids.tolist()
    torch.testing.assert_close(torch.tensor([[value for _, value in one.top] for one in told]), values)
    assert answers.logprobs["b"] == (), "nobody asked"
    assert all(one.top == () for one in answers.logprobs["c"])
    assert len(answers.logprobs["c"]) == len(answers.tokens["c"])


def test_more_likely_tokens_than_there_are_is_all_of_them(build: BuildEngine) -> None:
    (told,) = run(build(), request("a", prompt(3), max_tokens=1, logprobs=VOCABULARY + 5)).logprobs["a"]
    assert sorted(token for token, _ in told.top) == list(range(VOCABULARY))


def test_asking_for_log_probabilities_changes_no_token(build: BuildEngine) -> None:
    engine = build()
    plain = run(engine, request("a", prompt(9), sampling=EVERYTHING)).tokens
    assert run(engine, request("a", prompt(9), sampling=EVERYTHING, logprobs=5)).tokens == plain


def test_a_seed_gives_the_same_tokens_alone_and_in_a_batch_whatever_is_asked_for(build: BuildEngine) -> None:
    engine = build(max_sequences=6)
    alone = run(engine, request("a", prompt(9), sampling=EVERYTHING, logprobs=3))
    others = [
        request("b", prompt(5), sampling=Sampling(frequency_penalty=1.0), logprobs=20),
        request("c", prompt(6), sampling=Sampling(temperature=0, repetition_penalty=1.5)),
        request("d", prompt(7), sampling=Sampling(min_p=0.1, logit_bias={5: 50.0})),
        request("e", prompt(8)),
    ]
    batch = run(engine, *others, joining={3: request("a", prompt(9), sampling=EVERYTHING, logprobs=3)})
    assert batch.tokens["a"] == alone.tokens["a"]
    for ours, theirs in zip(batch.logprobs["a"], alone.logprobs["a"], strict=True):
        assert ours.logprob == pytest.approx(theirs.logprob, abs=1e-4)


def test_a_seed_and_its_negative_are_two(build: BuildEngine) -> None:
    engine = build()
    drawn = [run(engine, request("a", prompt(9), sampling=Sampling(seed=seed))).tokens["a"] for seed in (-3, 3, -3)]
    assert drawn[0] == drawn[2] != drawn[1]


def test_no_stop_token_is_chosen_before_the_least_number_of_tokens(build: BuildEngine) -> None:
    engine = build()
    free = run(engine, request("a", prompt(5), max_tokens=12)).tokens["a"]
    stop = frozenset({free[2]})
    assert len(run(engine, request("a", prompt(5), max_tokens=12, stop=stop)).tokens["a"]) <= 2
    answers = run(engine, request("a", prompt(5), max_tokens=12, stop=stop, min_tokens=8))
    assert len(answers.tokens["a"]) >= 8
    assert answers.tokens["a"][:2] == free[:2]
    assert not stop & set(answers.tokens["a"])


def test_after_the_least_number_of_tokens_a_stop_token_ends_the_sequence(build: BuildEngine) -> None:
    wanted = Sampling(temperature=0, logit_bias={50: 100.0})
    answers = run(build(), request("a", prompt(5), sampling=wanted, stop=frozenset({50}), min_tokens=3))
    assert len(answers.tokens["a"]) == 3
    assert answers.finish == {"a": "stop"}


def test_a_frequency_penalty_ends_the_repetition_that_a_bias_began(build: BuildEngine) -> None:
    favoured = {"temperature": 0, "logit_bias": {50: 60.0}}
    engine = build()
    assert set(run(engine, request("a", prompt(5), sampling=Sampling(**favoured))).tokens["a"]) == {50}
    penalised = Sampling(**favoured, frequency_penalty=2.0, presence_penalty=2.0)
    tokens = run(engine, request("a", prompt(5), max_tokens=40, sampling=penalised)).tokens["a"]
    assert tokens[:10] == (50,) * 10
    assert tokens.count(50) < 40


@pytest.mark.parametrize("token", [-1, VOCABULARY])
def test_a_bias_on_a_token_that_there_is_not_is_refused(build: BuildEngine, token: int) -> None:
    with pytest.raises(RequestFailed, match=f"logit_bias has a token id outside 0 to {VOCABULARY - 1}"):
        build().submit(request("a", prompt(5), sampling=Sampling(logit_bias={token: 1.0})))
