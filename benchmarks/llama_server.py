"""llama-server as a peer: llama.cpp's own HTTP server on the same weights in bf16."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks import llama_cpp, peer_process
from benchmarks.service import LLAMA, Service, Target
from components.machine import this_machine
from components.reconciliation import ports

_SLOTS = 32
_CONTEXT = 2048
"""Of each slot, as the other services have it."""

OPTIONS = ("--parallel", str(_SLOTS), "--ctx-size", str(_SLOTS * _CONTEXT), "--jinja", "--no-webui", "--offline")
_START_SECONDS = 180


@contextmanager
def running(weights: Path, adapters: Sequence[Path] = ()) -> Iterator[Service]:
    """The peer on a free port, until the block ends; its first target is the model, the others are the adapters.

    Raises ServiceFailed with its last words if it does not start.
    """
    [port] = ports.any_free(1)
    command: list[str | Path] = [llama_cpp.installed() / "llama-server", "--model", llama_cpp.model(weights)]
    command += [*OPTIONS, *_threads(), "--host", ports.LOOPBACK, "--port", str(port)]
    with tempfile.TemporaryDirectory(prefix="modelyard-gguf-") as folder:
        converted = llama_cpp.adapters(weights, adapters, Path(folder)) if adapters else []
        for file in converted:
            command += ["--lora", file]
        if converted:
            command.append("--lora-init-without-apply")
        starting = peer_process.running(
            LLAMA, command, port=port, environment={}, seconds=_START_SECONDS, usual="a few seconds"
        )
        with starting as processes:
            yield Service(
                name=LLAMA,
                base_url=f"http://{ports.LOOPBACK}:{port}/v1",
                models=targets(len(converted)),
                processes=processes,
            )


def targets(adapters: int) -> list[Target]:
    """The model, then each adapter: a request names them by number, and those that it does not name have no effect."""
    model: Target = {"model": "model"}
    return [model, *({**model, "lora": [{"id": number, "scale": 1.0}]} for number in range(adapters))]


def parameters() -> Mapping[str, object]:
    """For the report: what was run, and how."""
    return {"version": llama_cpp.VERSION, "options": [*OPTIONS, *_threads()]}


def _threads() -> tuple[str, str]:
    return ("--threads", str(this_machine().cpus))
