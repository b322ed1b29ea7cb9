"""LoRA adapters with random weights: what they say is of no use, what they cost is what any of their rank costs."""

from __future__ import annotations

import subprocess
from pathlib import Path

from benchmarks.console import console
from benchmarks.environment import PROJECT, serving_python
from benchmarks.errors import BenchmarkFailed

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


def make(weights: Path, folder: Path, count: int) -> list[Path]:
    """So many directories of adapters for the model, below `folder`. Raises BenchmarkFailed."""
    command = [serving_python(), "-c", _MAKE, weights, folder, str(count), str(RANK)]
    with console.step(f"making {count} adapters", usual="usually less than a minute"):
        done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchmarkFailed(f"no adapters could be made: {done.stderr.strip().splitlines()[-1]}")
    return sorted(folder.iterdir())
