"""Which steps are recorded, and that a record which computes something else is not used."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any

import pytest
import torch

from serving.engines.transformers_engine import fusion
from tests.serving.engines.conftest import BuildEngine, needs_kernels
from tests.serving.engines.driving import request, run
from tests.serving.engines.tiny_models import FAMILIES, prompt

pytestmark = needs_kernels

Norm = Callable[[torch.Tensor], torch.Tensor]


@pytest.mark.parametrize("family", FAMILIES)
def test_steps_of_all_families_are_recorded(family: str, build: BuildEngine) -> None:
    assert build(family).records_steps


def test_what_stands_between_the_products_is_computed_at_once(
    build: BuildEngine, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, fusion.__name__):
        build("qwen3")
    assert "6 rotary, 3 silu_mul" in caplog.text, "queries and keys, and gates, of three layers"


def decides_by_the_number_of_rows(norm: Norm, hidden: torch.Tensor) -> torch.Tensor:
    """The record would keep what was decided for the step that was recorded."""
    return norm(hidden) * (1.0 if hidden.shape[1] < 8 else -1.0)


def refuses_to_be_recorded(norm: Norm, hidden: torch.Tensor) -> torch.Tensor:
    if torch._C._get_tracing_state() is not None:
        raise RuntimeError("not while it is recorded")
    return norm(hidden)


@pytest.mark.parametrize(
    ("altered", "reason"),
    [(decides_by_the_number_of_rows, "gives other logits"), (refuses_to_be_recorded, "not while it is recorded")],
)
def test_a_model_without_a_right_record_runs_through_its_modules(
    altered: Callable[[Norm, torch.Tensor], torch.Tensor],
    reason: str,
    build: BuildEngine,
    caplog: pytest.LogCaptureFixture,
) -> None:
    engine = build(recorded=False)
    model: Any = engine.model
    model.model.norm.forward = functools.partial(altered, model.model.norm.forward)
    with caplog.at_level(logging.INFO):
        engine.record_steps()
    assert not engine.records_steps
    assert reason in caplog.text
    assert run(engine, request("a", prompt(20))).tokens["a"], "it answers all the same"


@pytest.mark.parametrize("sequences", [1, 2, 3])
def test_a_few_slots_suffice(sequences: int, build: BuildEngine) -> None:
    assert build(max_sequences=sequences).records_steps


def test_a_cache_that_is_too_short_is_not_written_over(build: BuildEngine) -> None:
    assert not build(max_context=20).records_steps
