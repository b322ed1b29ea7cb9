"""When an update begins, and what the table says of an adapter that was added."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest

from benchmarks import adapter_added
from benchmarks.adapter_added import Run, begins, update_begins
from benchmarks.errors import BenchmarkFailed
from benchmarks.repeats import Repeats
from components.deployed_state import APPLICATION_TYPE
from tests.benchmarks.builders import HERE

UPDATE = json.dumps({"resourcePreEvent": {"metadata": {"op": "update", "type": APPLICATION_TYPE}}})


def run(**more: object) -> Run:
    values: dict[str, object] = {
        "run": 0,
        "update_begun": 4.0,
        "answered": 5.5,
        "up_seconds": 7.0,
        "completed": 12,
        "failures": [],
        "strangers": 0.0,
    }
    return Run(**(values | more))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (UPDATE, True),
        (UPDATE.replace('"update"', '"same"'), False),
        (UPDATE.replace(APPLICATION_TYPE, "modelyard:index:Workspace"), False),
        (UPDATE.replace("resourcePreEvent", "resOutputsEvent"), False),
        (json.dumps({"preludeEvent": {}}), False),
        (UPDATE[:40], False),
    ],
    ids=["update", "nothing to do", "another resource", "its end", "another event", "half a line"],
)
def test_the_reconciliation_begins_with_the_services_update(line: str, expected: bool) -> None:
    assert begins(line) is expected


def test_the_event_is_seen_when_it_is_written(tmp_path: Path) -> None:
    events, done = tmp_path / "events", threading.Event()
    threading.Timer(0.2, lambda: events.write_text(f"{UPDATE}\n", encoding="utf-8")).start()
    begun = time.monotonic()
    assert update_begins(events, done) - begun == pytest.approx(0.25, abs=0.15)


def test_an_update_without_that_event_is_told(tmp_path: Path) -> None:
    done = threading.Event()
    done.set()
    with pytest.raises(BenchmarkFailed, match="do not tell of an update"):
        update_begins(tmp_path / "events", done)


def test_seconds_are_from_the_update_and_from_the_command() -> None:
    made = adapter_added.report(Repeats(runs=1), HERE, [run()])
    cells = dict(zip(made.columns, made.rows[0], strict=True))
    assert (cells["from the update"], cells["from pulumi up"], cells["pulumi up"]) == ("1.50 s", "5.50 s", "7.00 s")
    assert (cells["completed"], cells["failed"]) == ("12", "0")


def test_streams_that_failed_are_counted_and_the_first_one_is_told() -> None:
    made = adapter_added.report(Repeats(runs=2), HERE, [run(), run(run=1, failures=["truncated: finish_reason None"])])
    assert dict(zip(made.columns, made.rows[0], strict=True))["failed"] == "1"
    assert "truncated: finish_reason None" in made.text()
