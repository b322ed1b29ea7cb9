"""A picture of the loss while a model was trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

_SMOOTHED = 10
"""Steps that a point of the smooth line is the mean of."""


def draw(losses: Sequence[tuple[int, float]], file: Path) -> None:
    figure = Figure(figsize=(6, 3.2), dpi=110, layout="constrained")
    axes = figure.subplots()
    steps, values = [step for step, _ in losses], [loss for _, loss in losses]
    axes.plot(steps, values, color="#9db8d8", linewidth=1, label="each step")
    smooth = [sum(values[max(0, end - _SMOOTHED) : end]) / min(end, _SMOOTHED) for end in range(1, len(values) + 1)]
    axes.plot(steps, smooth, color="#1f4e8c", linewidth=1.8, label=f"mean of {_SMOOTHED} steps")
    axes.set_xlabel("step")
    axes.set_ylabel("loss, nats a token")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(file, metadata={"Software": None})
