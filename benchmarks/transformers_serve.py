"""`transformers serve` with continuous batching as a peer, from the same environment and the same safetensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks import peer_process
from benchmarks.environment import serving_python
from benchmarks.service import TRANSFORMERS, Service
from components.reconciliation import ports

# Blocks are given because its own rule takes 60% of the memory for the KV cache.
OPTIONS = (
    *("--device", "cpu", "--continuous-batching"),
    *("--cb-num-blocks", "512", "--cb-block-size", "32", "--cb-max-batch-tokens", "512"),
)
_START_SECONDS = 180


@contextmanager
def running(weights: Path) -> Iterator[Service]:
    """The peer on a free port, until the block ends. Raises ServiceFailed with its last words if it does not start."""
    [port] = ports.any_free(1)
    command = [serving_python().with_name("transformers"), "serve", weights, *OPTIONS]
    command += ["--host", ports.LOOPBACK, "--port", str(port)]
    starting = peer_process.running(
        TRANSFORMERS,
        command,
        port=port,
        environment={"HF_HUB_OFFLINE": "1"},
        seconds=_START_SECONDS,
        usual="10 to 50 s",
    )
    with starting as processes:
        yield Service(
            name=TRANSFORMERS,
            base_url=f"http://{ports.LOOPBACK}:{port}/v1",
            models=[{"model": str(weights)}],
            processes=processes,
        )


def parameters() -> Mapping[str, object]:
    """For the report: how it was run; its version is that of the serving environment."""
    return {"options": list(OPTIONS)}
