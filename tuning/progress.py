"""Where a job is: lines of TuningProgress among whatever else libraries print."""

from __future__ import annotations

import sys
from collections.abc import Callable

from presets.tuning_job import TuningProgress

Say = Callable[[TuningProgress], None]
"""Takes what is to be told. What it is called with last stays what is known of the job."""


def to_output(progress: TuningProgress) -> None:
    """A line on standard output, at once."""
    sys.stdout.write(progress.line() + "\n")
    sys.stdout.flush()
