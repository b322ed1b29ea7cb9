"""How services stand beside each other, run by run."""

from __future__ import annotations

import pytest

from benchmarks import adapters_load, comparison, prompts, ratios
from benchmarks.client import Load
from benchmarks.service import LLAMA, MODELYARD, VLLM, Service
from tests.benchmarks.builders import measured


def test_a_ratio_is_the_median_of_the_runs_ratios_and_not_that_of_the_medians() -> None:
    ours, theirs = (10.0, 60.0, 90.0), (5.0, 60.0, 100.0)
    several = [measured(value, run=run) for run, value in enumerate(ours)]
    several += [measured(value, run=run, service=VLLM) for run, value in enumerate(theirs)]
    [found] = ratios.ratios(several, [(MODELYARD, VLLM)])
    assert found.tokens_per_second.median == pytest.approx(1.0)
    assert (found.tokens_per_second.lowest, found.tokens_per_second.highest) == pytest.approx((0.9, 2.0))
    assert found.tokens_per_second.runs == 3


def test_first_tokens_are_ours_by_theirs_too() -> None:
    several = [measured(first_token_p50=30.0), measured(service=VLLM, first_token_p50=60.0)]
    [found] = ratios.ratios(several, [(MODELYARD, VLLM)])
    assert found.first_token_p50.median == pytest.approx(0.5)


def test_only_runs_that_have_both_count() -> None:
    several = [measured(60), measured(90, run=1), measured(30, service=VLLM, run=1)]
    [found] = ratios.ratios(several, [(MODELYARD, VLLM), (MODELYARD, LLAMA)])
    assert (found.by, found.tokens_per_second.median, found.tokens_per_second.runs) == (VLLM, 3.0, 1)


def test_of_a_run_the_attempt_that_counts_is_compared() -> None:
    disturbed, quiet = measured(20, strangers=0.9), measured(60, attempt=2)
    [found] = ratios.ratios([disturbed, quiet, measured(30, service=VLLM, strangers=0.4)], [(MODELYARD, VLLM)])
    assert found.tokens_per_second.median == 2.0
    assert found.disturbed == 1, "the peer's run was disturbed"


def test_ratios_stand_by_number_of_clients() -> None:
    several = [measured(service=name, clients=clients) for clients in (32, 8) for name in (MODELYARD, VLLM, LLAMA)]
    found = ratios.ratios(several, [(MODELYARD, VLLM), (MODELYARD, LLAMA)])
    assert [(each.clients, each.by) for each in found] == [(8, VLLM), (8, LLAMA), (32, VLLM), (32, LLAMA)]


def test_the_table_has_the_same_numbers_for_programs() -> None:
    made = ratios.table(ratios.ratios([measured(60), measured(30, service=VLLM)], [(MODELYARD, VLLM)]))
    assert made.rows == [("modelyard / vLLM", "1", "2.00", "1.00", "1", "0")]
    assert made.values[0]["by"] == VLLM


def test_adapters_are_compared_with_the_same_service_without_and_with_peers() -> None:
    assert adapters_load.pairs([VLLM]) == [
        ("modelyard, 4 adapters", "modelyard, no adapter"),
        ("vLLM, 4 adapters", "vLLM, no adapter"),
        ("modelyard, 4 adapters", "vLLM, 4 adapters"),
    ]


def test_no_service_is_asked_the_same_twice() -> None:
    options = comparison.Options(runs=3, attempts=2)
    asked = [
        number
        for variant in range(5)
        for run in range(3)
        for level in options.levels
        for attempt in (1, 2)
        for first in [comparison.first_prompt(variant, run, level, attempt, options)]
        for number in range(first, first + level.clients * level.each)
    ]
    assert len(set(asked)) == len(asked)
    assert max(asked) < prompts.WARM_UP


@pytest.mark.parametrize(
    ("warm_up_seconds", "each"),
    [(0.1, 4), (2.0, 3), (100.0, 1), (0.0, 4)],
    ids=["fast enough for all", "three fit", "not even one fits", "too fast to see"],
)
def test_a_slow_service_is_asked_fewer_prompts(warm_up_seconds: float, each: int) -> None:
    options = comparison.Options(tokens=128, longest_seconds=60)
    assert comparison.prompts_each(comparison.Level(1, 4), warm_up_seconds, options) == each


@pytest.mark.parametrize(("seconds", "runs"), [(30.0, 3), (150.0, 1)], ids=["fast enough", "too slow"])
def test_a_level_that_takes_far_too_long_is_measured_once(
    seconds: float, runs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = comparison.Options(runs=3, levels=(comparison.Level(1, 1),), wait_seconds=0)
    monkeypatch.setattr(comparison, "measure", lambda *_, **more: measured(seconds=seconds, run=more["run"]))
    monkeypatch.setattr(comparison.client, "load", lambda *_, **__: Load((), 1.0))
    compared = comparison.Comparison(options)
    compared.services = [Service(name=MODELYARD, base_url="", models=[{"model": "chat"}], processes=())]
    compared.measure()
    assert len(compared.measurements) == runs
