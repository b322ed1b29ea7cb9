"""The part of a tuning that says how its adapter is judged. Ours: KAITO's tuning has none."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from components.planning.config_model import ConfigModel
from presets.tuning_job import Metric

Share = Annotated[float | None, Field(ge=0, le=1)]


class GateSpec(ConfigModel):
    """What an adapter has to reach to be served; a limit that is left out is not looked at."""

    held_out_loss_improvement: Annotated[float | None, Field(gt=-1, lt=1)] = None
    """Least part by which the loss over the held-out rows falls; 0.05 is 5 %."""
    exact_match: Share = None
    """Least part of the held-out answers that come out word for word."""
    rouge_l: Share = None
    """Least ROUGE-L F1 over the held-out answers."""
    regression_loss_increase: Annotated[float | None, Field(ge=0)] = None
    """Largest part by which the loss over general text may rise."""


class EvaluationSpec(ConfigModel):
    """How an adapter is judged: on rows that it was not trained on, and on general text."""

    split: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Part of the rows that is held out. 0: none."""
    max_rows: Annotated[int, Field(ge=1)] = 200
    """Held-out rows that are evaluated."""
    metrics: list[Metric] = ["loss", "perplexity", "exact_match", "rouge_l"]
    """exact_match and rouge_l where answers are short."""
    gate: GateSpec = GateSpec()
    """Not reached: the adapter is published and not served, and the update fails."""
