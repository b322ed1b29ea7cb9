"""The table for people and the JSON for programs."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import comparison, serving_load, startup
from benchmarks.__main__ import main
from benchmarks.phases import Phases
from benchmarks.repeats import Repeats
from benchmarks.report import Report, table
from benchmarks.service import LLAMA, TRANSFORMERS, VLLM
from benchmarks.startup import Run
from tests.benchmarks.builders import HERE, measured
from toolchain.console import Console

OUTPUTS = {"weights": 0.5, "deploy": 12.0, "process": 4.0, "load": 1.0, "warmup": 2.0, "smokePrompt": 0.3}
PHASES = Phases.of(22.0, 6.0, OUTPUTS, 0.04)


def load_report(problems: dict[str, str] | None = None) -> Report:
    measurements = [measured(60.0 + run, run=run) for run in range(3)]
    measurements += [measured(30.0, service=TRANSFORMERS, run=run) for run in range(3)]
    return serving_load.report(comparison.Options(), HERE, measurements, problems or {})


def test_the_table_says_what_ran_and_where() -> None:
    lines = load_report().text().splitlines()
    assert lines[0] == "serving_load: smollm2-135m-instruct in bf16, 128 new tokens an answer, temperature 0, 3 runs"
    for word in ("2 cores", "AMD EPYC", "no GPU", "commit 3f2a91c", "torch 2.13.0", "ray 2.60.0", "load before 0.1"):
        assert word in lines[1], lines[1]
    assert "with changes" in replace(HERE, changed=True).text()
    assert lines[3].split()[:4] == ["modelyard", "1", "61.0", "±"]
    assert lines[4].startswith("transformers serve")


def test_the_ratios_stand_below_the_figures_that_they_are_made_of() -> None:
    lines = load_report().text().splitlines()
    [heading] = [number for number, line in enumerate(lines) if line.startswith("ratios of the same run")]
    assert lines[heading - 1] == ""
    assert lines[heading + 2].split() == [
        "modelyard",
        "/",
        *TRANSFORMERS.split(),
        "1",
        *["2.03", "±", "0.03", "1.00", "±", "0.00", "3", "0"],
    ]


def test_a_peer_that_was_given_up_has_no_ratio() -> None:
    assert "ratios of" not in load_report({TRANSFORMERS: "it ended"}).text()


def test_columns_stand_under_their_headings() -> None:
    lines = table(("", "a"), [("long name", "1"), ("x", "1000")])
    assert [line[-4:] for line in lines[1:]] == ["   1", "1000"]


def test_a_peer_that_did_not_start_has_a_row_and_the_reason() -> None:
    made = load_report({TRANSFORMERS: "it ended with exit 1 while it started: no module fastapi"})
    [row] = [row for row in made.rows if row[0] == TRANSFORMERS]
    assert set(row[1:]) == {"-"}, "half of the runs must not look like all of them"
    assert "no module fastapi" in made.text()
    assert "no module fastapi" in json.dumps(made.document())


def test_the_json_has_every_run_and_reads_back(tmp_path: Path) -> None:
    file = load_report().write(tmp_path / "results")
    document = json.loads(file.read_text(encoding="utf-8"))
    assert file.name == "serving_load.json"
    assert document["environment"]["commit"] == "3f2a91c"
    assert document["parameters"]["levels"] == [
        {"clients": 1, "each": 4},
        {"clients": 8, "each": 2},
        {"clients": 32, "each": 1},
    ]
    assert [run["tokens_per_second"] for run in document["runs"]] == [60, 61, 62, 30, 30, 30]
    assert all(run["counts"] and run["cpu"]["strangers"] == 0 for run in document["runs"])
    assert len(document["table"]) == 2
    [beside] = document["tables"]
    assert beside["values"][0]["tokens_per_second"]["median"] == pytest.approx(61 / 30, abs=1e-6)
    assert set(document["parameters"]["peers"]) == {VLLM, LLAMA, TRANSFORMERS}
    assert list(tmp_path.glob("results/*")) == [file], "a partial file was left"


def test_phases_add_up_to_the_whole_time() -> None:
    assert sum(PHASES.seconds()) == pytest.approx(22.04)
    assert PHASES.total == pytest.approx(22.04)
    assert PHASES.replica == pytest.approx(5.0)
    assert PHASES.pulumi == pytest.approx(3.2)


def test_startup_has_a_row_for_every_kind_of_command() -> None:
    warm = Run(what=startup.WARM, run=0, seconds=22.0, strangers=0.0, load_average=0.1, phases=PHASES, outputs=OUTPUTS)
    preview = Run(what="preview, nothing to do", run=0, seconds=2.4, strangers=0.5, load_average=0.1)
    made = startup.report(Repeats(runs=1), HERE, [warm, preview])
    rows = {row[0]: dict(zip(startup.COLUMNS, row, strict=True)) for row in made.rows}
    assert rows[startup.WARM]["Ray start"] == "6.00"
    assert rows[startup.WARM]["total"] == "22.0"
    assert rows["preview, nothing to do"]["total"] == "2.40"
    assert rows["preview, nothing to do"]["weights"] == ""
    assert rows[startup.COLD]["total"] == "-"
    assert "1 of 2 runs were disturbed" in made.text()
    assert made.document()["runs"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["servng"], "there are serving, adapters, long_prompt, adapter_added, soak, startup, preview, plan_vs_kaito"),
        (["--runs", "0"], "not a number from 1 up"),
        (["--peers", "vllm,olama"], "'olama' is no peer; there are vllm, llama-server, transformers, or none"),
    ],
)
def test_the_command_line_refuses_what_it_does_not_know(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    assert words in capsys.readouterr().err


def test_without_pulumi_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    said = io.StringIO()
    monkeypatch.setattr("benchmarks.__main__.console", Console(said))
    monkeypatch.setenv("PATH", "/nonexistent")
    assert main(["startup"]) == 1
    assert "run make" in said.getvalue()
