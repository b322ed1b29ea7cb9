"""A peer's server as a process of ours: started, waited for, and ended with all that it has started."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import httpx
import psutil

from benchmarks import peer_cache
from benchmarks.console import console
from benchmarks.errors import ServiceFailed
from components.reconciliation import ports

_END_SECONDS = 15
_FOREIGN = ("OMP_NUM_THREADS", "PYTHONPATH", "VIRTUAL_ENV")
"""Would make it compute with other threads, or with packages that are not its own."""


@contextmanager
def running(
    name: str,
    command: Sequence[str | Path],
    *,
    port: int,
    environment: Mapping[str, str],
    seconds: float,
    usual: str,
) -> Iterator[tuple[psutil.Process, ...]]:
    """The processes of a server whose /health answers, until the block ends.

    seconds: how long it may take to start. Raises ServiceFailed with its last words if it does not.
    """
    own = {k: v for k, v in os.environ.items() if k not in _FOREIGN}
    with tempfile.TemporaryFile() as log:
        try:
            process = subprocess.Popen(
                [str(word) for word in command],
                env={**own, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise ServiceFailed(f"{command[0]} cannot be run: {error}") from error
        try:
            with console.step(f"{name} starts", usual=usual):
                _await(f"http://{ports.LOOPBACK}:{port}/health", process, log, seconds)
            ours = psutil.Process(process.pid)
            yield (ours, *ours.children(recursive=True))
        finally:
            _end(process)


def _await(url: str, process: subprocess.Popen[bytes], log: IO[bytes], seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            raise ServiceFailed(f"it ended with exit {process.returncode} while it started: {_last_words(log)}")
        try:
            if httpx.get(url, trust_env=False).is_success:
                return
        except httpx.HTTPError:
            pass  # its port opens when the model is loaded
        time.sleep(0.5)
    raise ServiceFailed(f"it was not ready after {seconds:.0f} s: {_last_words(log)}")


def _last_words(log: IO[bytes]) -> str:
    log.seek(0)
    return peer_cache.last_line(log.read().decode(errors="replace"))


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        with suppress(subprocess.TimeoutExpired):
            process.wait(_END_SECONDS)
    finally:
        # vLLM's engine is a process of its own, and outlives a server that was killed.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
