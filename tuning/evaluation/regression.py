"""Questions about the world with their answers, which an adapter for something else should leave as they were."""

from __future__ import annotations

import json
from pathlib import Path

from tuning.data.rows import Row

_FILE = Path(__file__).with_name("regression.json")


def rows(has_template: bool) -> list[Row]:
    """In the form in which the model was asked while it was trained."""
    pairs: list[list[str]] = json.loads(_FILE.read_text(encoding="utf-8"))
    if not has_template:
        return [{"prompt": f"{question}\n", "completion": answer} for question, answer in pairs]
    return [
        {
            "prompt": [{"role": "user", "content": question}],
            "completion": [{"role": "assistant", "content": answer}],
        }
        for question, answer in pairs
    ]
