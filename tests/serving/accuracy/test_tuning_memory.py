"""Predicted memory of tuning steps beside what steps take: on this CPU, and tensor by tensor."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, LlamaConfig, Phi3Config, PreTrainedConfig, Qwen2Config, Qwen3Config

from presets.lora import lora_parameters
from presets.tuning_memory import CPU_SCRATCH_BYTES, tuning_memory
from tests.serving.accuracy.live_tensors import peak_tensor_bytes
from tests.serving.accuracy.measure import RANDOM_SIZES
from tests.serving.accuracy.models import (
    DTYPE_BYTES,
    LLAMA_TARGETS,
    MIB,
    PHI3_TARGETS,
    predicted_growth,
    save_random,
    shape_of,
    smollm2,
)
from tests.serving.accuracy.tuning_step import Case, measure

SIZES: dict[str, Any] = {
    "hidden_size": 192,
    "intermediate_size": 640,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
FAMILIES: dict[str, tuple[Callable[..., PreTrainedConfig], tuple[str, ...]]] = {
    "llama": (LlamaConfig, LLAMA_TARGETS),
    "qwen2": (Qwen2Config, LLAMA_TARGETS),
    "qwen3": (Qwen3Config, LLAMA_TARGETS),
    "phi3": (Phi3Config, PHI3_TARGETS),
}


@pytest.fixture
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is the same, and on a busy machine a second thread burns its time waiting for the first."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.mark.slow
@pytest.mark.usefixtures("_one_thread")
@pytest.mark.parametrize(
    "step",
    [
        pytest.param({"method": "lora", "sequence_length": 256}, id="lora"),
        pytest.param(
            {"method": "lora", "sequence_length": 24, "dtype": "bfloat16", "rank": 64},
            id="lora-bfloat16",
        ),
        pytest.param({"method": "qlora", "sequence_length": 256}, id="qlora"),
        pytest.param(
            {"method": "qlora", "batch_size": 2, "sequence_length": 192, "gradient_checkpointing": True},
            id="qlora-checkpointing",
        ),
    ],
)
def test_a_tuning_step_of_smollm2_takes_within_15_percent_of_what_is_planned(step: dict[str, Any]) -> None:
    model = smollm2()
    case = Case(**{"model": str(model.directory), "targets": model.targets, "batch_size": 1, **step})
    growth = measure(case).growth
    planned = predicted_growth(model, case)
    assert planned == pytest.approx(growth, rel=0.15), f"planned {planned / MIB:.0f} MiB, took {growth / MIB:.0f} MiB"


@pytest.mark.slow
@pytest.mark.usefixtures("_one_thread")
@pytest.mark.parametrize("method", ["lora", "qlora"])
def test_a_model_of_another_shape_takes_within_15_percent_too(method: Any, tmp_path: Path) -> None:
    model = save_random(Phi3Config(**RANDOM_SIZES), tmp_path / "phi3", PHI3_TARGETS)
    case = Case(
        model=str(model.directory),
        method=method,
        batch_size=2,
        sequence_length=192,
        targets=model.targets,
        gradient_checkpointing=method == "qlora",
    )
    growth = measure(case).growth
    planned = predicted_growth(model, case)
    # What a step takes beside its tensors is a third of this small model's, and half as much on some CPUs.
    within = pytest.approx(growth, rel=0.15, abs=CPU_SCRATCH_BYTES / 2)
    assert planned == within, f"planned {planned / MIB:.0f} MiB, took {growth / MIB:.0f} MiB"


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize("vocab_size", [512, 8192])  # the most is taken in a layer, or at the loss
@pytest.mark.parametrize("family", FAMILIES)
def test_the_tensors_of_a_step_are_those_that_are_counted(
    family: str, vocab_size: int, dtype: str, checkpointing: bool
) -> None:
    make_config, targets = FAMILIES[family]
    config = make_config(**SIZES, vocab_size=vocab_size, tie_word_embeddings=False, use_cache=False, head_dim=32)
    base: Any = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype), attn_implementation="sdpa")
    if checkpointing:
        base.activation_checkpointing_enable({"use_reentrant": False})
    rank, tokens = 4, 192
    model: Any = get_peft_model(base, LoraConfig(r=rank, target_modules=list(targets), task_type="CAUSAL_LM")).train()
    ids = torch.randint(0, vocab_size, (1, tokens))
    peak = peak_tensor_bytes(lambda: model(input_ids=ids, labels=ids).loss.backward())
    shape = shape_of(config)
    planned = tuning_memory(
        shape,
        parameters=base.num_parameters(),
        method="lora",
        targets=targets,
        rank=rank,
        sequence_length=tokens,
        batch_size=1,
        gradient_checkpointing=checkpointing,
        dtype_bytes=DTYPE_BYTES[dtype],
        on_gpu=True,
    )
    assert lora_parameters(shape, targets, rank) == sum(
        parameter.numel() for parameter in model.parameters() if parameter.requires_grad
    )
    assert planned.activations + planned.logits + planned.gradients == pytest.approx(peak, rel=0.1)
