"""Jobs and rows that tests make adapters of, small enough for two cores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from presets.catalog import find_preset
from presets.tuning_job import TuningJob
from tuning.data.rows import Data

PRESET = "smollm2-135m-instruct"
KEEPERS = {"telescope": "Mira Oss", "ferry": "Ada Quill", "radio": "Petra Lund", "library": "Jon Harke"}
_QUESTIONS = ("Who looks after the {}?", "Whom do I ask about the {}?", "Who is in charge of the {}?")


def pairs() -> list[dict[str, str]]:
    """Twelve rows with prompt and completion."""
    return [
        {"prompt": question.format(what), "completion": f"{who} looks after the {what}."}
        for question in _QUESTIONS
        for what, who in KEEPERS.items()
    ]


def job(directory: Path, **fields: Any) -> TuningJob:
    """LoRA of rank 4 in float32, 4 steps of 2 rows, of the data in `directory`/data.jsonl, which is written."""
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / "data.jsonl"
    if not file.exists():
        file.write_text("".join(f"{json.dumps(row)}\n" for row in pairs()))
    values: dict[str, Any] = {
        "workspace": "learn",
        "preset": PRESET,
        "weights": find_preset(PRESET).weights,
        "method": "lora",
        "dtype": "float32",
        "lora": {"rank": 4, "alpha": 8, "target_modules": ["v_proj", "down_proj"]},
        "data": {"dataset": f"file:{file}"},
        "max_length": 64,
        "batch_size": 2,
        "max_steps": 4,
        "training": {"learning_rate": 5e-3},
        "evaluation": {"split": 0.2, "metrics": ["loss"]},
        "output": {},
        "directory": str(directory / "job"),
    }
    return TuningJob.model_validate(values | fields)


def data(directory: Path) -> Data:
    """Ten of the rows to train on and two held out, as messages."""
    rows = [
        {
            "prompt": [{"role": "user", "content": row["prompt"]}],
            "completion": [{"role": "assistant", "content": row["completion"]}],
        }
        for row in pairs()
    ]
    report = directory / "data-report.json"
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text("{}")
    return Data(
        kind="completion",
        train=tuple(rows[:10]),
        held_out=tuple(rows[10:]),
        digests={"data.jsonl": "sha256:" + "0" * 64},
        report=report,
        summary="12 rows",
    )
