"""What a long prompt did to the streams beside it."""

from __future__ import annotations

import json

import pytest

from benchmarks import comparison, long_prompt
from benchmarks.cpu import CpuUse
from benchmarks.errors import ServiceFailed
from benchmarks.long_prompt import Gaps, Run, Timeline, gaps
from benchmarks.service import MODELYARD, VLLM
from tests.benchmarks.builders import HERE

STEADY = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]


def run(service: str = MODELYARD, number: int = 0, strangers: float = 0.0, **figures: float) -> Run:
    values = {"p50": 10.0, "longest": 40.0, "first_token": 900.0, **figures}
    longest = [values.pop("longest"), 20.0]
    cpu = CpuUse(services={service: 1.9}, client=0.0, strangers=strangers)
    return Run(service=service, run=number, attempt=1, gaps=Gaps(longest=longest, **values), cpu=cpu)


def test_the_longest_gap_counts_while_the_prompt_is_computed_and_not_before() -> None:
    stalled_before = [0.0, 5.0, 5.1, 5.2, 5.3, 5.6, 5.7]
    found = gaps(Timeline(streams=[stalled_before], sent=5.15, answered=5.5))
    assert found.longest == pytest.approx([300.0])
    assert found.first_token == pytest.approx(350.0)


def test_a_gap_that_only_begins_or_only_ends_in_that_time_counts() -> None:
    found = gaps(Timeline(streams=[[0.0, 1.0, 1.1, 3.0]], sent=0.9, answered=1.2))
    assert found.longest == pytest.approx([1900.0])


def test_every_stream_has_its_own_longest_gap_and_all_have_one_median() -> None:
    found = gaps(Timeline(streams=[STEADY, [0.0, 0.1, 0.2, 0.6, 0.7]], sent=0.25, answered=0.65))
    assert found.longest == pytest.approx([100.0, 400.0])
    assert found.p50 == pytest.approx(100.0)
    assert found.ratios == pytest.approx([1.0, 4.0])


def test_a_stream_that_ended_too_early_is_no_measurement() -> None:
    with pytest.raises(ServiceFailed, match="ended before the long prompt was answered"):
        gaps(Timeline(streams=[STEADY, STEADY[:4]], sent=0.25, answered=0.65))


def test_the_table_has_the_stream_that_was_hit_most_and_the_one_that_was_hit_least() -> None:
    made = long_prompt.report(comparison.Options(peers=()), HERE, [run()], {})
    cells = dict(zip(made.columns, made.rows[0], strict=True))
    assert cells["longest gap"] == "40.0 ms"
    assert cells["longest / p50"] == "4.00"
    assert cells["of the least hit"] == "2.00"


def test_peers_are_compared_run_by_run_in_the_text_and_in_the_json() -> None:
    runs = [run(longest=40.0 + number, number=number) for number in range(3)]
    runs += [run(VLLM, longest=80.0 + 2 * number, number=number) for number in range(3)]
    made = long_prompt.report(comparison.Options(peers=("vllm",)), HERE, runs, {})
    assert "modelyard / vLLM" in made.text()
    [table] = json.loads(json.dumps(made.document()))["tables"]
    assert table["values"][0]["longest gap"]["median"] == pytest.approx(0.5)


def test_of_two_attempts_the_less_disturbed_one_counts() -> None:
    quiet = run(longest=50.0)
    assert long_prompt.counting([run(strangers=0.8), quiet]) == [quiet]


def test_a_peer_that_failed_has_its_reason() -> None:
    made = long_prompt.report(comparison.Options(peers=("vllm",)), HERE, [run()], {VLLM: "no compiler"})
    assert made.rows[-1][:2] == (VLLM, "-")
    assert "no compiler" in made.text()
