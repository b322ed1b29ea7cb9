"""huggingface_hub tells how far it is through a tqdm class; this one reports instead of drawing."""

from __future__ import annotations

import io
from typing import Any

from tqdm.auto import tqdm

from serving.weights.model import SECONDS_BETWEEN_REPORTS, Progress, Report


def bar_that_reports(report: Report, message: str) -> type[tqdm]:
    """A tqdm class whose bars of bytes call `report`, about once a second and only with news."""
    reported = 0

    class ReportingBar(tqdm):
        def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401, tqdm's own signature
            kwargs |= {"mininterval": SECONDS_BETWEEN_REPORTS, "file": io.StringIO(), "leave": False}
            super().__init__(*args, **kwargs)

        def display(self, msg: str | None = None, pos: int | None = None) -> None:
            nonlocal reported
            if self.unit == "B" and self.n > reported:
                reported = int(self.n)
                report(Progress(message=message, done=reported, total=int(self.total) if self.total else None))

    return ReportingBar
