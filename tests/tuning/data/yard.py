"""A job with data: what load() makes of it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerBase

from presets.tuning_job import TuningJob, TuningProgress
from tuning.data import Data, load
from tuning.errors import TuningError


@dataclass
class Yard:
    """A job's directory, and what its data step makes of settings."""

    root: Path
    tokenizer: PreTrainedTokenizerBase
    said: list[str] = field(default_factory=list)

    def job(self, data: dict[str, Any], **settings: Any) -> TuningJob:
        fields: dict[str, Any] = {
            "workspace": "chat",
            "preset": "smollm2-135m-instruct",
            "weights": "hf:HuggingFaceTB/SmolLM2-135M-Instruct",
            "method": "lora",
            "lora": {"target_modules": ["q_proj"]},
            "max_length": 512,
            "batch_size": 1,
            "output": {"directory": str(self.root / "out")},
            "directory": str(self.root / "job"),
            "evaluation": {"split": 0},
        }
        return TuningJob.model_validate(fields | settings | {"data": data})

    def load(self, data: dict[str, Any], **settings: Any) -> Data:
        return load(self.job(data, **settings), self.tokenizer, self._say)

    def refused(self, data: dict[str, Any], **settings: Any) -> TuningError:
        """What load raises."""
        with pytest.raises(TuningError) as caught:
            self.load(data, **settings)
        return caught.value

    def loaded(self, name: str, content: str | bytes, data: dict[str, Any] | None = None, **settings: Any) -> Data:
        """Load a file of this name and content."""
        return self.load({"directory": str(self.file(name, content)), "shuffle": False, **(data or {})}, **settings)

    def file(self, name: str, content: str | bytes) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def _say(self, progress: TuningProgress) -> None:
        assert progress.phase == "data"
        self.said.append(progress.message)


def jsonl(*rows: object) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def report_of(data: Data) -> dict[str, Any]:
    return json.loads(data.report.read_text())
