"""Penalties, bias, bans and masks change the logits as transformers, OpenAI and llguidance have it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers.generation.logits_process import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from serving.engines.protocol import GenerationRequest, Sampling
from serving.engines.transformers_engine.adjustments import AllowedTokens, Row, adjusted
from serving.engines.transformers_engine.sampling import choose
from serving.engines.transformers_engine.token_history import history_of

VOCABULARY = 67
"""No multiple of 32, nor of 8."""

token = st.integers(0, VOCABULARY - 1)
sequences = st.lists(token, min_size=1, max_size=30)
penalties = st.floats(-2, 2)
repetitions = st.floats(0.5, 2)


def random_logits(seed: int, rows: int = 1) -> torch.Tensor:
    return torch.randn(rows, VOCABULARY, generator=torch.Generator().manual_seed(seed)) * 4


def row(sampling: Sampling, prompt: Sequence[int] = (1,), completion: Sequence[int] = (), uniform: float = 0.5) -> Row:
    """As the engine has it after these tokens."""
    request = GenerationRequest(id="a", prompt_token_ids=tuple(prompt), max_tokens=100, sampling=sampling)
    history = history_of(request)
    if history is not None:
        for one in completion:
            history.add(one)
    return Row(sampling, uniform, history)


def change(logits: torch.Tensor, one: Row) -> torch.Tensor:
    return adjusted(logits, [one], [0], None)[0]


def bits(allowed: set[int], words: int = -(-VOCABULARY // 32)) -> list[int]:
    """One row of a mask, a bit at a time."""
    packed = [0] * words
    for one in allowed:
        packed[one // 32] |= 1 << one % 32
    return np.array(packed, dtype=np.uint32).view(np.int32).tolist()


@given(seed=st.integers(0, 1000), prompt=sequences, completion=st.lists(token, max_size=30), penalty=repetitions)
def test_the_repetition_penalty_is_that_of_transformers(
    seed: int, prompt: list[int], completion: list[int], penalty: float
) -> None:
    logits = random_logits(seed)
    ours = change(logits, row(Sampling(repetition_penalty=penalty), prompt, completion))
    theirs = RepetitionPenaltyLogitsProcessor(penalty)(torch.LongTensor([[*prompt, *completion]]), logits.clone())[0]
    torch.testing.assert_close(ours, theirs)


@given(
    seed=st.integers(0, 1000),
    prompt=sequences,
    completion=st.lists(token, max_size=30),
    presence=penalties,
    frequency=penalties,
)
def test_presence_and_frequency_count_the_completion_alone(
    seed: int, prompt: list[int], completion: list[int], presence: float, frequency: float
) -> None:
    logits = random_logits(seed)
    expected = [
        float(logits[0, one]) - frequency * completion.count(one) - presence * (one in completion)
        for one in range(VOCABULARY)
    ]
    sampling = Sampling(presence_penalty=presence, frequency_penalty=frequency)
    torch.testing.assert_close(change(logits, row(sampling, prompt, completion)), torch.tensor(expected))


@given(bias=st.dictionaries(token, st.floats(-100, 100, width=32)), banned=st.frozensets(token, max_size=5))
def test_bias_is_added_and_what_is_banned_stays_so(bias: dict[int, float], banned: frozenset[int]) -> None:
    logits = random_logits(0)
    ours = change(logits, Row(Sampling(logit_bias=bias), banned=banned))
    expected = [-math.inf if one in banned else float(logits[0, one]) + bias.get(one, 0.0) for one in range(VOCABULARY)]
    torch.testing.assert_close(ours, torch.tensor(expected))


def test_bias_comes_before_the_repetition_penalty_and_the_other_penalties_after_it() -> None:
    logits = torch.full((1, VOCABULARY), 2.0)
    sampling = Sampling(logit_bias={5: 4.0}, repetition_penalty=2.0, presence_penalty=0.5, frequency_penalty=0.25)
    ours = change(logits, row(sampling, prompt=[6], completion=[5, 5]))
    assert ours[5] == (2.0 + 4.0) / 2 - 0.5 - 2 * 0.25
    assert ours[6] == 1.0, "the repetition penalty counts the prompt, the others do not"
    assert ours[7] == 2.0


@given(allowed=st.sets(token, min_size=1), words=st.integers(1, 4), temperature=st.sampled_from([0.0, 1.0]))
def test_only_what_a_mask_allows_is_chosen(allowed: set[int], words: int, temperature: float) -> None:
    reachable = {one for one in allowed if one < 32 * words}
    logits = random_logits(1, rows=3)
    mask = AllowedTokens([2, 0], torch.tensor([bits(reachable, words), bits({3}, words)], dtype=torch.int32))
    first, free, last = choose(logits, [Row(Sampling(temperature=temperature), 0.7)] * 3, mask)
    assert first == 3
    assert free == choose(logits[1:2], [Row(Sampling(temperature=temperature), 0.7)])[0]
    assert last in reachable if reachable else last is None
    if reachable and temperature == 0:
        assert last == max(reachable, key=lambda one: float(logits[2, one]))


@pytest.mark.parametrize(
    "one",
    [
        row(Sampling(temperature=0, logit_bias={9: 100.0})),
        row(Sampling(temperature=0, logit_bias={one: -100.0 for one in range(VOCABULARY) if one != 9})),
        Row(Sampling(temperature=0), banned=frozenset(range(VOCABULARY)) - {9}),
        row(Sampling(temperature=0, presence_penalty=-2.0, frequency_penalty=-2.0), completion=[9] * 100),
    ],
    ids=["favoured", "others held down", "others banned", "repeated"],
)
def test_a_greedy_row_takes_the_likeliest_of_the_changed_logits(one: Row) -> None:
    assert choose(random_logits(2), [one]) == [9]


def test_ids_beyond_the_vocabulary_are_banned_in_vain() -> None:
    logits = random_logits(3)
    assert choose(logits, [Row(Sampling(temperature=0), banned=frozenset({10**9}))]) == [int(logits.argmax())]


@given(
    seed=st.integers(0, 1000),
    temperature=st.floats(0.2, 2),
    min_p=st.sampled_from([0.0, 0.02, 0.3]),
    top_k=st.sampled_from([0, 1, 5, 40]),
    top_p=st.sampled_from([1.0, 0.9, 0.4]),
    penalty=st.sampled_from([1.0, 1.3]),
    completion=sequences,
)
def test_the_tokens_that_may_be_drawn_and_their_shares_are_those_of_transformers(
    seed: int, temperature: float, min_p: float, top_k: int, top_p: float, penalty: float, completion: list[int]
) -> None:
    logits = random_logits(seed)
    processors = LogitsProcessorList()
    if penalty != 1:
        processors.append(RepetitionPenaltyLogitsProcessor(penalty))
    processors.append(TemperatureLogitsWarper(temperature))
    if min_p:
        processors.append(MinPLogitsWarper(min_p))
    if top_k:
        processors.append(TopKLogitsWarper(top_k))
    if top_p < 1:
        processors.append(TopPLogitsWarper(top_p))
    expected = processors(torch.LongTensor([[1, *completion]]), logits.clone())[0].softmax(dim=-1)
    draws = 500
    sampling = Sampling(temperature=temperature, min_p=min_p, top_k=top_k, top_p=top_p, repetition_penalty=penalty)
    rows = [row(sampling, [1], completion, (draw + 0.5) / draws) for draw in range(draws)]
    drawn = torch.tensor(choose(logits.expand(draws, -1), rows)).bincount(minlength=VOCABULARY) / draws
    # Numbers spread evenly over [0, 1) miss a token's share by less than two of them.
    assert (drawn - expected).abs().max() < 2 / draws + 1e-4
    assert set(drawn.nonzero().flatten().tolist()) <= set(expected.nonzero().flatten().tolist())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_changed_row_chooses_the_same_alone_and_among_others(dtype: torch.dtype) -> None:
    logits = random_logits(5, rows=48).to(dtype)
    numbers = torch.rand(48, generator=torch.Generator().manual_seed(5)).tolist()
    rows = [
        row(
            Sampling(
                temperature=index % 3 * 0.6,
                min_p=index % 2 * 0.01,
                top_k=index % 5 * 9,
                repetition_penalty=(1.0, 1.2)[index % 2],
                presence_penalty=(0.0, 0.7, -0.7)[index % 3],
                logit_bias={index: 3.0} if index % 4 == 0 else {},
            ),
            prompt=range(index + 1),
            completion=[index, index, 50],
            uniform=numbers[index],
        )
        for index in range(48)
    ]
    masks = {index: bits(set(range(index, VOCABULARY, 2))) for index in range(0, 48, 5)}
    together = choose(logits, rows, AllowedTokens(list(masks), torch.tensor(list(masks.values()), dtype=torch.int32)))
    alone = []
    for index, one in enumerate(rows):
        mask = AllowedTokens([0], torch.tensor([masks[index]], dtype=torch.int32)) if index in masks else None
        alone += choose(logits[index : index + 1], [one], mask)
    assert together == alone


def test_logits_that_are_not_finite_fail_their_row_even_where_a_mask_hides_them() -> None:
    logits = random_logits(6, rows=2)
    logits[0, 8] = math.nan
    mask = AllowedTokens([0, 1], torch.tensor([bits({3}), bits({3})], dtype=torch.int32))
    assert choose(logits, [Row(Sampling(temperature=0))] * 2, mask) == [None, 3]


def test_the_logits_of_the_model_stay_as_they_are() -> None:
    logits = random_logits(7)
    before = logits.clone()
    mask = AllowedTokens([0], torch.tensor([bits({3})], dtype=torch.int32))
    choose(logits, [row(Sampling(repetition_penalty=2.0, logit_bias={1: 5.0}))], mask)
    assert torch.equal(logits, before)
