"""Tuning, end to end: data to an adapter that is served, tuned again when the data change, kept back by its gate."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.stack.yard import TINY, Yard, workspace
from tests.waiting import eventually

pytestmark = pytest.mark.stack

KEEPERS = {"telescope": "Mira Oss", "ferry": "Ada Quill"}
QUESTIONS = (
    "Who looks after the {}?",
    "Whom do I ask about the {}?",
    "Who is in charge of the {}?",
    "The {} is broken.",
)
ADAPTER = "keepers"


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    """A stack whose one tuning makes the adapter of its one model."""
    yard = Yard(tmp_path_factory.mktemp("tuning"))
    try:
        write_data(yard, KEEPERS)
        configure(yard)
        yard.pulumi("up").expect()
        yield yard
    finally:
        yard.close()


def write_data(yard: Yard, keepers: dict[str, str]) -> None:
    rows = [
        {"prompt": question.format(what), "completion": f"{who} looks after the {what}."}
        for question in QUESTIONS
        for what, who in keepers.items()
    ]
    (yard.folder / "data.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def configure(yard: Yard, *, steps: int = 16, gate: dict[str, float] | None = None, version: str = "") -> None:
    tuning = {
        "preset": {"name": TINY},
        "method": "lora",
        "config": {
            "ModelConfig": {"torch_dtype": "float32"},
            "TrainingArguments": {
                "learning_rate": 0.003,
                "per_device_train_batch_size": 4,
                "max_length": 64,
                "save_steps": 4,
            },
        },
        "input": {"dataset": "file:data.jsonl"},
        "maxSteps": steps,
        "evaluation": {"split": 0.2, "metrics": ["loss"], "gate": gate or {"heldOutLossImprovement": 0.3}},
    }
    desk = workspace("desk")
    source = {"name": ADAPTER, "tuning": "learn"} | ({"version": version} if version else {})
    desk["inference"]["adapters"] = [{"source": source, "rank": 16}]
    yard.configure({"name": "learn", "tuning": tuning}, desk)


def answer(yard: Yard) -> str:
    asked = [{"role": "user", "content": "Who looks after the ferry?"}]
    done = yard.client("desk").chat.completions.create(
        model=ADAPTER,
        messages=asked,  # type: ignore[arg-type]
        max_tokens=12,
        temperature=0,
    )
    return str(done.choices[0].message.content)


def learnt(yard: Yard) -> dict[str, Any]:
    return yard.outputs()["learn"]["adapter"]


def jobs(yard: Yard) -> Path:
    return yard.folder / ".modelyard" / "local" / "test" / "tuning" / "learn"


def test_data_become_an_adapter_that_answers(yard: Yard) -> None:
    outputs = yard.outputs()["learn"]
    assert yard.conditions("learn") == {
        "ResourceReady": "True",
        "JobStarted": "True",
        "TuningReady": "True",
        "WorkspaceReady": "True",
    }
    assert outputs["metrics"]["held_out_loss_after"] < outputs["metrics"]["held_out_loss_before"]
    assert outputs["adapter"]["gatePassed"] is True
    assert outputs["adapter"]["served"] == f"file:{outputs['adapter']['directory']}"
    assert "Ada Quill" in answer(yard)
    assert "learn" in yard.status()


def test_nothing_runs_again_where_nothing_has_changed(yard: Yard) -> None:
    before = learnt(yard)
    text = yard.pulumi("up").expect().text
    assert "unchanged" in text
    assert "updated" not in text
    assert learnt(yard) == before


def test_other_data_make_another_version_in_the_same_replicas(yard: Yard) -> None:
    before, replica = learnt(yard), yard.replica_pid("desk")
    write_data(yard, {**KEEPERS, "ferry": "Tomas Vell"})
    assert "the training data have changed" in yard.pulumi("preview").expect().text
    yard.pulumi("up").expect()
    assert learnt(yard)["digest"] != before["digest"]
    assert yard.replica_pid("desk") == replica
    assert "Tomas Vell" in answer(yard)
    assert Path(before["directory"]).is_dir(), "to go back to"


def test_an_adapter_that_misses_its_gate_is_not_served(yard: Yard) -> None:
    served = learnt(yard)["served"]
    configure(yard, gate={"heldOutLossImprovement": 0.999})
    text = yard.pulumi("up").expect_failure().text
    assert "GateMissed" in text
    assert "has to fall by 99.9%" in text
    assert "Tomas Vell" in answer(yard)
    assert learnt(yard)["served"] == served


def test_an_earlier_version_can_be_served_again_whatever_the_gate_says(yard: Yard) -> None:
    oldest = min((jobs(yard) / "adapters").iterdir(), key=lambda each: each.stat().st_mtime)
    configure(yard, gate={"heldOutLossImprovement": 0.999}, version=oldest.name)
    assert "the workspaces serve the versions that they name" in yard.pulumi("up").expect().text
    assert "Ada Quill" in answer(yard)


def test_a_killed_trainer_is_told_and_gone_on_with(yard: Yard) -> None:
    configure(yard, steps=24)
    with ThreadPoolExecutor(1) as pool:
        update = pool.submit(yard.pulumi, "up")
        eventually(lambda: any((jobs(yard) / "checkpoints").glob("*/whole.json")), 180, "a checkpoint is written")
        trainer(yard).kill()
        text = update.result().expect_failure().text
    assert "TuningKilled" in text, text
    assert "goes on from the checkpoint of step" in yard.pulumi("up").expect().text
    assert learnt(yard)["gatePassed"] is True


def trainer(yard: Yard) -> psutil.Process:
    [found] = [each for each in yard.processes() if each.cmdline()[-2:] == ["-m", "tuning"]]
    return found
