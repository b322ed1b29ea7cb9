"""What the data step says while it works: what is new at once, how far it is from time to time."""

from __future__ import annotations

import time

from presets.tuning_job import TuningProgress
from serving.weights.space import human
from tuning.progress import Say

_SECONDS_BETWEEN = 2.0


class Telling:
    def __init__(self, say: Say) -> None:
        self._say = say
        self._at = time.monotonic()

    def now(self, message: str) -> None:
        self._at = time.monotonic()
        self._say(TuningProgress(phase="data", message=message))

    def sometimes(self, message: str) -> None:
        """Unless something was told within the last two seconds."""
        if time.monotonic() - self._at > _SECONDS_BETWEEN:
            self.now(message)

    def bytes(self, doing: str, done: int, total: int | None) -> None:
        """How far a transfer is; `total` is None where nobody knows."""
        self.sometimes(f"{doing}: {human(done)}" + (f" of {human(total)}" if total else ""))
