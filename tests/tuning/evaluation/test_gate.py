"""What an adapter has to reach."""

from __future__ import annotations

from typing import Any

import pytest

from presets.tuning_job import GateSettings
from tuning.evaluation.gate import failures

METRICS = {
    "held_out_loss_improvement": 0.04,
    "exact_match_after": 0.5,
    "rouge_l_after": 0.8,
    "regression_loss_increase": 0.02,
}


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({}, None),
        ({"held_out_loss_improvement": 0.04}, None),
        ({"held_out_loss_improvement": 0.05}, "fell by 4.0%, and has to fall by 5.0%"),
        ({"exact_match": 0.51}, "50.0% of the answers are word for word"),
        ({"rouge_l": 0.9}, "ROUGE-L of the answers is 80.0%"),
        ({"regression_loss_increase": 0.02}, None),
        ({"regression_loss_increase": 0.01}, "rose by 2.0%, and may rise by 1.0%"),
    ],
)
def test_a_limit_that_is_missed_is_told_with_numbers(limits: dict[str, Any], words: str | None) -> None:
    missed = failures(GateSettings(**limits), METRICS)
    if words is None:
        assert missed == ()
    else:
        [sentence] = missed
        assert words in sentence


@pytest.mark.parametrize("limit", ["held_out_loss_improvement", "exact_match", "rouge_l", "regression_loss_increase"])
def test_a_limit_on_what_was_not_measured_is_missed(limit: str) -> None:
    [sentence] = failures(GateSettings(**{limit: 0.1}), {})
    assert "was not measured" in sentence
