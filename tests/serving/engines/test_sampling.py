"""Which token a row of logits and a number between 0 and 1 give."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import torch

from serving.engines.protocol import Sampling
from serving.engines.transformers_engine.adjustments import Row
from serving.engines.transformers_engine.sampling import CANDIDATES, choose

PROBABILITIES = (0.05, 0.4, 0.25, 0.2, 0.1)
LOGITS = torch.tensor([math.log(probability) for probability in PROBABILITIES])


def shares(sampling: Sampling, logits: torch.Tensor = LOGITS, draws: int = 1000) -> dict[int, float]:
    """How often each token is chosen over evenly spread numbers: its probability, to within 1 / draws."""
    uniforms = [(draw + 0.5) / draws for draw in range(draws)]
    counts = Counter(choose(logits.expand(draws, -1), [Row(sampling, uniform) for uniform in uniforms]))
    assert None not in counts
    return {token: count / draws for token, count in counts.items() if token is not None}


def close(expected: dict[int, float]) -> object:
    return pytest.approx(expected, abs=0.002)


def test_temperature_one_draws_by_the_models_own_probabilities() -> None:
    assert shares(Sampling()) == close(dict(enumerate(PROBABILITIES)))


def test_temperature_flattens_and_sharpens() -> None:
    for temperature in (0.5, 2.0):
        powers = [probability ** (1 / temperature) for probability in PROBABILITIES]
        expected = {token: power / sum(powers) for token, power in enumerate(powers)}
        assert shares(Sampling(temperature=temperature)) == close(expected)


def test_temperature_zero_takes_the_likeliest() -> None:
    assert shares(Sampling(temperature=0)) == {1: 1.0}


@pytest.mark.parametrize("temperature", [1e-3, 1e-30, 5e-324])
def test_a_tiny_temperature_neither_overflows_nor_divides_by_zero(temperature: float) -> None:
    assert shares(Sampling(temperature=temperature), LOGITS * 1e4) == {1: 1.0}


def test_top_k_keeps_the_k_likeliest() -> None:
    assert shares(Sampling(top_k=2)) == close({1: 0.4 / 0.65, 2: 0.25 / 0.65})
    assert shares(Sampling(top_k=1)) == {1: 1.0}
    assert shares(Sampling(top_k=99)) == close(dict(enumerate(PROBABILITIES)))


def test_top_p_keeps_the_fewest_that_reach_it() -> None:
    assert shares(Sampling(top_p=0.6)) == close({1: 0.4 / 0.65, 2: 0.25 / 0.65})
    assert shares(Sampling(top_p=0.66)) == close({1: 0.4 / 0.85, 2: 0.25 / 0.85, 3: 0.2 / 0.85})


def test_the_likeliest_token_survives_any_top_p() -> None:
    for top_p in (0.01, 1e-9, 0.0):
        assert shares(Sampling(top_p=top_p)) == {1: 1.0}


def test_top_p_counts_within_what_top_k_leaves() -> None:
    assert shares(Sampling(top_k=3, top_p=0.5)) == close({1: 0.4 / 0.65, 2: 0.25 / 0.65})


def test_min_p_leaves_out_what_is_less_likely_than_a_share_of_the_likeliest() -> None:
    assert shares(Sampling(min_p=0.3)) == close({1: 0.4 / 0.85, 2: 0.25 / 0.85, 3: 0.2 / 0.85})
    assert shares(Sampling(min_p=1)) == {1: 1.0}


def test_min_p_counts_after_temperature_and_before_top_p() -> None:
    sharp = {token: probability**2 for token, probability in enumerate(PROBABILITIES)}
    assert set(shares(Sampling(temperature=0.5, min_p=0.3))) == {
        token for token, weight in sharp.items() if weight >= 0.3 * 0.4**2
    }
    assert shares(Sampling(min_p=0.6, top_p=0.7)) == close({1: 0.4 / 0.65, 2: 0.25 / 0.65}), "of two, not of five"


def test_limits_beyond_the_first_candidates_still_hold() -> None:
    vocabulary = 4 * CANDIDATES
    even = torch.zeros(vocabulary)
    drawn = shares(Sampling(top_p=0.5), even, draws=vocabulary)
    assert len(drawn) == vocabulary // 2
    assert set(drawn.values()) == {2 / vocabulary}
    assert len(shares(Sampling(top_k=2 * CANDIDATES), even, draws=vocabulary)) == 2 * CANDIDATES
    assert len(shares(Sampling(top_k=2 * CANDIDATES, top_p=0.5), even, draws=vocabulary)) == CANDIDATES


@pytest.mark.parametrize("uniform", [0.0, math.nextafter(1.0, 0.0)])
def test_an_impossible_token_is_never_chosen(uniform: float) -> None:
    logits = torch.tensor([[-math.inf, 0.0, -math.inf, 0.0, -math.inf]])
    for sampling in (Sampling(), Sampling(top_p=0.99), Sampling(top_k=4)):
        assert choose(logits, [Row(sampling, uniform)])[0] in (1, 3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_row_chooses_the_same_alone_and_among_others(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    logits = (torch.randn(40, 3000) * 3).to(dtype)  # in half precision many of them tie
    samplings = [
        Sampling(
            temperature=0.0 if row % 5 == 0 else 0.3 * (row % 5),
            top_p=(1.0, 0.9, 0.3)[row % 3],
            top_k=row % 4 * 20,
            min_p=row % 2 * 0.05,
        )
        for row in range(40)
    ]
    rows = [Row(sampling, uniform) for sampling, uniform in zip(samplings, torch.rand(40).tolist(), strict=True)]
    together = choose(logits, rows)
    alone = [choose(logits[row : row + 1], [rows[row]])[0] for row in range(40)]
    assert together == alone


@pytest.mark.parametrize("poison", [math.nan, math.inf])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_row_that_is_not_finite_gives_no_token_and_harms_no_other(poison: float, temperature: float) -> None:
    logits = LOGITS.repeat(3, 1)
    logits[1, 2] = poison
    drawn = choose(logits, [Row(Sampling(temperature=temperature, top_p=0.01), 0.5)] * 3)
    assert drawn == [1, None, 1]


def test_a_row_without_any_possible_token_gives_none() -> None:
    assert choose(torch.full((1, 5), -math.inf), [Row(Sampling(), 0.5)]) == [None]


@pytest.mark.parametrize("size", [1, 255, 256, 257, 1000])
def test_the_token_drawn_is_that_where_the_sum_of_probabilities_passes_the_number(size: int) -> None:
    generator = torch.Generator().manual_seed(size)
    logits = torch.randn(1, size, generator=generator) * 3
    logits[:, 300:600] = -math.inf  # more than a block without any weight
    logits[:, : min(size - 1, 5)] = -math.inf
    sums = logits.double().softmax(dim=-1).cumsum(dim=-1)[0]
    for uniform in (0.0, *torch.rand(50, generator=generator).tolist(), math.nextafter(1.0, 0.0)):
        [token] = choose(logits, [Row(Sampling(temperature=1.0), uniform)])
        assert token is not None
        assert logits[0, token] > -math.inf
        assert (sums[token - 1] if token else 0.0) <= uniform + 1e-6
        assert uniform - 1e-6 <= sums[token]
