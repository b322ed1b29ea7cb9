"""What a person sees while the bootstrap works.

Everything goes to standard error: standard output belongs to results, such as the lines of `make env`.
"""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


def elapsed(seconds: float) -> str:
    """
    >>> elapsed(3.21), elapsed(75)
    ('3.2 s', '1 min 15 s')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"


class Console:
    """Lines and steps; a step redraws one line on a terminal and writes a line now and then elsewhere."""

    def __init__(self, stream: TextIO | None = None, *, heartbeat: float = 15.0) -> None:
        self._stream = stream or sys.stderr
        self._heartbeat = heartbeat
        self._live = self._stream.isatty()

    def say(self, text: str) -> None:
        """One line."""
        self._write(f"{text}\n")

    @contextmanager
    def step(self, what: str, *, usual: str = "") -> Iterator[None]:
        """Show `what` and its elapsed time until the block ends; the first line also says what is `usual`."""
        started = time.monotonic()
        done = threading.Event()
        announcement = f"{what} ({usual})" if usual else what
        ticker = threading.Thread(target=self._tick, args=(announcement, what, started, done), daemon=True)
        if not self._live:
            self.say(f"{announcement} ...")
        ticker.start()
        outcome = "stopped"
        try:
            yield
            outcome = "done"
        except Exception:
            outcome = "failed"
            raise
        finally:
            done.set()
            ticker.join()
            self._clear()
            self.say(f"{what}: {outcome}, {elapsed(time.monotonic() - started)}")

    def _tick(self, announcement: str, what: str, started: float, done: threading.Event) -> None:
        frame = 0
        while not done.wait(0.1 if self._live else self._heartbeat):
            seconds = elapsed(time.monotonic() - started)
            if self._live:
                self._write(f"\r\x1b[2K{FRAMES[frame % len(FRAMES)]} {announcement}  {seconds}")
                frame += 1
            else:
                self.say(f"{what}: still going, {seconds}")

    def _clear(self) -> None:
        if self._live:
            self._write("\r\x1b[2K")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
