"""Measures the steps of docs/tuning-memory.md, each in a process of its own, and prints its table.

.venv-serving/bin/python -m tests.serving.accuracy.measure
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from transformers import LlamaConfig, Phi3Config

from tests.serving.accuracy.models import (
    LLAMA_TARGETS,
    MIB,
    PHI3_TARGETS,
    Model,
    predicted_growth,
    save_random,
    smollm2,
)
from tests.serving.accuracy.tuning_step import Case, measure

RANDOM_SIZES: dict[str, Any] = {
    "vocab_size": 2048,
    "hidden_size": 768,
    "intermediate_size": 2560,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "num_key_value_heads": 4,
    "tie_word_embeddings": False,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
"""So few words that a step takes most in a layer, not at the loss."""

SMOLLM2_STEPS: list[dict[str, Any]] = [
    {"method": "lora", "dtype": "bfloat16", "batch_size": 1, "sequence_length": 256},
    {"method": "lora", "dtype": "bfloat16", "batch_size": 1, "sequence_length": 256, "gradient_checkpointing": True},
    {"method": "lora", "dtype": "bfloat16", "batch_size": 2, "sequence_length": 512},
    {"method": "lora", "batch_size": 2, "sequence_length": 512},
    {"method": "lora", "batch_size": 2, "sequence_length": 512, "gradient_checkpointing": True},
    {"method": "lora", "batch_size": 1, "sequence_length": 1024},
    {"method": "lora", "batch_size": 1, "sequence_length": 1024, "rank": 128},
    {"method": "lora", "batch_size": 1, "sequence_length": 1024, "rank": 8, "targets": ("q_proj", "v_proj")},
    {"method": "qlora", "batch_size": 2, "sequence_length": 512},
    {"method": "qlora", "batch_size": 2, "sequence_length": 512, "gradient_checkpointing": True},
    {"method": "qlora", "batch_size": 1, "sequence_length": 1024},
    {"method": "qlora", "batch_size": 1, "sequence_length": 1024, "rank": 64, "gradient_checkpointing": True},
]
RANDOM_STEPS: list[dict[str, Any]] = [
    {"method": "lora", "batch_size": 2, "sequence_length": 512},
    {"method": "lora", "batch_size": 4, "sequence_length": 512, "rank": 64, "gradient_checkpointing": True},
    {"method": "qlora", "batch_size": 1, "sequence_length": 1024},
    {"method": "qlora", "batch_size": 4, "sequence_length": 512, "gradient_checkpointing": True},
]


def _cases(root: Path) -> Iterator[tuple[str, Model, dict[str, Any]]]:
    smol = smollm2()
    llama = save_random(LlamaConfig(**RANDOM_SIZES), root / "llama", LLAMA_TARGETS)
    phi3 = save_random(Phi3Config(**RANDOM_SIZES), root / "phi3", PHI3_TARGETS)
    for name, model, steps in (
        ("SmolLM2-135M", smol, SMOLLM2_STEPS),
        ("random Llama", llama, RANDOM_STEPS),
        ("random Phi-3", phi3, RANDOM_STEPS),
    ):
        for step in steps:
            yield name, model, step


def main() -> None:
    say = sys.stdout.write
    say("| model | method | weights | targets | rank | tokens | checkpointing | measured | predicted | off by |\n")
    say("|---|---|---|---|---|---|---|---|---|---|\n")
    with tempfile.TemporaryDirectory() as root:
        for name, model, step in _cases(Path(root)):
            case = Case(**{"model": str(model.directory), "targets": model.targets, **step})
            measured, predicted = measure(case).growth, predicted_growth(model, case)
            weights = "NF4" if case.method == "qlora" else case.dtype
            targets = "all" if case.targets == model.targets else ", ".join(case.targets)
            say(
                f"| {name} | {case.method} | {weights} | {targets} | {case.rank} "
                f"| {case.batch_size} x {case.sequence_length} | {'yes' if case.gradient_checkpointing else 'no'} "
                f"| {measured / MIB:.0f} MiB | {predicted / MIB:.0f} MiB | {predicted / measured - 1:+.1%} |\n"
            )
            sys.stdout.flush()  # a step takes minutes


if __name__ == "__main__":
    main()
