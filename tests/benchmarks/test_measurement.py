"""Which measurements count, and what the table says of them."""

from __future__ import annotations

from benchmarks import measurement, prompts
from benchmarks.service import MODELYARD, TRANSFORMERS
from tests.benchmarks.builders import measured


def test_of_one_runs_attempts_the_least_disturbed_counts_whatever_it_gave() -> None:
    slow = measured(50, attempt=1, strangers=0.3)
    fast = measured(70, attempt=2, strangers=0.8)
    assert measurement.counting([slow, fast]) == [slow]
    assert measurement.counting([fast, slow]) == [slow]


def test_runs_services_and_levels_count_apart() -> None:
    several = [measured(), measured(run=1), measured(clients=8), measured(service=TRANSFORMERS)]
    assert len(measurement.counting(several)) == 4


def test_a_row_has_the_median_of_the_runs_and_their_spread() -> None:
    several = [measured(value, run=run) for run, value in enumerate((61.0, 59.0, 63.0))]
    [row] = measurement.rows(several)
    cells = dict(zip(measurement.COLUMNS, row, strict=True))
    assert cells["tokens/s"] == "61.0 ± 2.0"
    assert cells["first token p50"] == "41.0 ± 0.0 ms"
    assert cells["memory"] == "2.00 ± 0.00 GiB"
    assert cells["cores used"] == "1.80 ± 0.00"


def test_rows_stand_by_number_of_clients_with_the_peer_below() -> None:
    several = [measured(service=TRANSFORMERS, clients=8), measured(clients=32), measured(clients=8)]
    assert [row[:2] for row in measurement.rows(several)] == [
        (MODELYARD, "8"),
        (TRANSFORMERS, "8"),
        (MODELYARD, "32"),
    ]


def test_variants_stand_in_the_order_in_which_they_were_measured() -> None:
    counts = ("no adapter", "4 adapters", "16 adapters", "100 adapters")
    several = [measured(service=f"{MODELYARD}, {count}") for count in counts]
    assert [row[0] for row in measurement.rows(several)] == [f"{MODELYARD}, {count}" for count in counts]


def test_disturbance_and_early_stops_are_told() -> None:
    text = " ".join(measurement.notes([measured(strangers=0.9, stopped_early=2), measured(run=1)]))
    assert "1 of 2 measurements were disturbed" in text
    assert "0.9 cores" in text
    assert "2 answers stopped" in text


def test_quiet_runs_are_told_nothing_of_but_the_clients_share() -> None:
    assert measurement.notes([measured(idle=0.02)]) == [
        "services that were not asked anything used up to 0.02 cores meanwhile",
        "the clients themselves used up to 0.05 cores",
    ]


def test_variants_of_one_program_have_rows_of_their_own_and_its_cores() -> None:
    several = [measured(service=f"{MODELYARD}, {variant}") for variant in ("no adapter", "4 adapters")]
    rows = [dict(zip(measurement.COLUMNS, row, strict=True)) for row in measurement.rows(several)]
    assert {row[""] for row in rows} == {"modelyard, no adapter", "modelyard, 4 adapters"}
    assert {row["cores used"] for row in rows} == {"1.80"}


def test_all_prompts_differ() -> None:
    assert len({prompts.prompt(number) for number in range(2000)}) == 2000
    assert len({prompts.prompt(number).split(",")[0].split(":")[1] for number in range(150)}) == 150, (
        "forms and subjects"
    )


def test_clients_never_share_a_prompt_within_a_run() -> None:
    asked = prompts.for_clients(32, 2, first=64)
    assert [len(own) for own in asked] == [2] * 32
    assert len({each for own in asked for each in own}) == 64
