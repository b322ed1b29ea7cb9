"""The peer: `transformers serve` with continuous batching, from the same environment and the same safetensors."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import httpx
import psutil

from benchmarks.console import console
from benchmarks.environment import serving_python
from benchmarks.errors import ServiceFailed
from benchmarks.service import TRANSFORMERS, Service
from components.reconciliation import ports

# Blocks are given because its own rule takes 60% of the memory for the KV cache.
OPTIONS = (
    *("--device", "cpu", "--continuous-batching"),
    *("--cb-num-blocks", "512", "--cb-block-size", "32", "--cb-max-batch-tokens", "512"),
)
_START_SECONDS = 180
_END_SECONDS = 15


@contextmanager
def running(weights: Path) -> Iterator[Service]:
    """The peer on a free port, until the block ends. Raises ServiceFailed with its last words if it does not start."""
    [port] = ports.any_free(1)
    command = [str(serving_python().with_name("transformers")), "serve", str(weights), *OPTIONS]
    command += ["--host", ports.LOOPBACK, "--port", str(port)]
    own = {k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "PYTHONPATH", "VIRTUAL_ENV")}
    with tempfile.TemporaryFile() as log:
        try:
            process = subprocess.Popen(
                command,
                env=own | {"HF_HUB_OFFLINE": "1"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise ServiceFailed(f"{command[0]} cannot be run: {error}") from error
        try:
            address = f"http://{ports.LOOPBACK}:{port}"
            with console.step(f"{TRANSFORMERS} starts", usual="10 to 50 s"):
                _await(f"{address}/health", process, log)
            ours = psutil.Process(process.pid)
            processes = (ours, *ours.children(recursive=True))
            yield Service(name=TRANSFORMERS, base_url=f"{address}/v1", models=(str(weights),), processes=processes)
        finally:
            _end(process)


def _await(url: str, process: subprocess.Popen[bytes], log: IO[bytes]) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            raise ServiceFailed(f"it ended with exit {process.returncode} while it started: {_last_words(log)}")
        try:
            if httpx.get(url, trust_env=False).is_success:
                return
        except httpx.HTTPError:
            pass  # its port opens when the model is loaded
        time.sleep(0.5)
    raise ServiceFailed(f"it was not ready after {_START_SECONDS} s: {_last_words(log)}")


def _last_words(log: IO[bytes]) -> str:
    log.seek(0)
    lines = [line.strip() for line in log.read().decode(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
