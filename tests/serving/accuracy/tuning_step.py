"""One tuning step in a process of its own, which says how much memory it took.

As a program it reads a Case as JSON and writes a Measured as JSON. A plain loop over torch, transformers
and peft, so that what is measured is the method and not a trainer.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from presets.catalog import TuningMethod
from presets.tuning_memory import CPU_ALLOCATOR

ROOT = Path(__file__).parents[3]
FIRST_STEP_TOKENS = 8


@dataclass(frozen=True, kw_only=True)
class Case:
    model: str
    """Directory of config.json and safetensors."""
    method: TuningMethod
    batch_size: int
    sequence_length: int
    targets: tuple[str, ...]
    rank: int = 16
    gradient_checkpointing: bool = False
    dtype: str = "float32"
    """Of the weights; CPUs without bfloat16 instructions multiply in bfloat16 many times slower."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Bytes of resident memory."""

    imported: int
    """All libraries imported, no model loaded."""
    growth: int
    """From there to the highest moment of the step."""
    seconds: float
    """That the step took."""


def measure(case: Case) -> Measured:
    """Run `case` in a fresh process, with the environment that a tuning process has."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.serving.accuracy.tuning_step"],
        input=json.dumps(dataclasses.asdict(case)),
        env={**os.environ, **CPU_ALLOCATOR, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the tuning step ended with {done.returncode}: {done.stderr[-2000:]}")
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


def _resident(key: str) -> int:
    """VmRSS or VmHWM in bytes."""
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in status if line.startswith(f"{key}:"))


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _load(case: Case) -> Any:
    import torch
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    dtype = getattr(torch, case.dtype)
    loading: dict[str, Any] = {"dtype": dtype, "attn_implementation": "sdpa"}
    if case.method == "qlora":
        loading["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
        )
    model: Any = AutoModelForCausalLM.from_pretrained(case.model, **loading)
    model.config.use_cache = False
    not_reentrant = {"use_reentrant": False}
    if case.method == "qlora":
        model = prepare_model_for_kbit_training(model, case.gradient_checkpointing, not_reentrant)
    elif case.gradient_checkpointing:
        model.activation_checkpointing_enable(not_reentrant)
    adapter = LoraConfig(r=case.rank, target_modules=list(case.targets), task_type="CAUSAL_LM")
    return get_peft_model(model, adapter).train()


def _run(case: Case) -> Measured:
    import bitsandbytes  # noqa: F401  # before the first measurement, whatever the method
    import torch
    import transformers.models.llama.modeling_llama
    import transformers.models.phi3.modeling_phi3  # noqa: F401
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    torch.manual_seed(0)
    imported = _resident("VmRSS")
    model = _load(case)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4)

    def step(batch_size: int, tokens: int) -> None:
        ids = torch.randint(0, model.config.vocab_size, (batch_size, tokens))
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    step(1, FIRST_STEP_TOKENS)  # AdamW makes its moments in its first step
    _forget_peak()
    began = time.monotonic()
    step(case.batch_size, case.sequence_length)
    seconds = time.monotonic() - began
    return Measured(imported=imported, growth=_resident("VmHWM") - imported, seconds=seconds)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(dataclasses.asdict(_run(Case(**json.load(sys.stdin))))) + "\n")
