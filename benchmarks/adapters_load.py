"""What adapters cost: the same load on one service, without an adapter and with 1, 4, 16 and 100 of them in turn."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

from benchmarks import modelyard
from benchmarks.console import console
from benchmarks.environment import PROJECT, Environment, serving_python
from benchmarks.errors import BenchmarkFailed, ServiceFailed
from benchmarks.report import Report
from benchmarks.service import Service
from benchmarks.serving_load import Comparison, Options, report, weights_directory

NAME = "adapters_load"
COUNTS = (1, 4, 16, 100)
RANK = 8

_MAKE = """
import sys
from pathlib import Path
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

model, folder, count, rank = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
base = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
config = LoraConfig(r=rank, lora_alpha=rank, target_modules="all-linear", task_type="CAUSAL_LM")
adapted = get_peft_model(base, config)
for number in range(count):
    torch.manual_seed(number)
    for name, weight in adapted.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(weight, std=0.01)
    adapted.save_pretrained(str(folder / f"adapter-{number:03}"))
"""


def run(options: Options, environment: Environment) -> Report:
    """Measure. Raises BenchmarkFailed and ServiceFailed."""
    comparison = Comparison(options)
    with tempfile.TemporaryDirectory(prefix="modelyard-adapters-") as folder, contextlib.ExitStack() as stack:
        adapters = _make(Path(folder), max(COUNTS))
        service = stack.enter_context(modelyard.running(adapters))
        comparison.services += [replace(service, name="no adapter"), *(_in_turn(service, count) for count in COUNTS)]
        comparison.measure()
    if comparison.problems:
        raise ServiceFailed("; ".join(f"{name}: {problem}" for name, problem in comparison.problems.items()))
    return report(
        options,
        environment,
        comparison.measurements,
        comparison.problems,
        name=NAME,
        what=f"{modelyard.PRESET} in bf16 with adapters of rank {RANK} on all linear layers, {max(COUNTS)} of them "
        "loaded",
        parameters={"rank": RANK},
    )


def _in_turn(service: Service, count: int) -> Service:
    """The same service, whose requests name so many adapters in turn."""
    models = [f"{modelyard.WORKSPACE}:adapter-{number:03}" for number in range(count)]
    return replace(service, name="1 adapter" if count == 1 else f"{count} adapters", models=models)


def _make(folder: Path, count: int) -> list[Path]:
    """Directories of random adapters for the model."""
    command = [serving_python(), "-c", _MAKE, weights_directory(), folder, str(count), str(RANK)]
    with console.step(f"making {count} adapters", usual="usually less than a minute"):
        done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchmarkFailed(f"no adapters could be made: {done.stderr.strip().splitlines()[-1]}")
    return sorted(folder.iterdir())
