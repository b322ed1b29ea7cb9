"""A job's settings as peft, bitsandbytes and trl take them. What they do not know is refused by name."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from peft import LoraConfig
from transformers import BitsAndBytesConfig
from trl.trainer.sft_config import SFTConfig

from presets.nearest import nearest
from presets.tuning_job import TuningJob
from tuning.data.rows import Kind
from tuning.errors import TuningError

_Made = TypeVar("_Made")
_FROM_KAITO = frozenset({"auto_find_batch_size", "ddp_find_unused_parameters", "deepspeed", "fsdp", "local_rank"})
"""Of TrainingArguments in KAITO's examples: the plan has chosen the batch, and there is one process."""


def lora_config(job: TuningJob) -> LoraConfig:
    """Raises TuningError (InvalidTrainingArguments)."""
    lora = job.lora
    own = {
        "r": lora.rank,
        "lora_alpha": lora.alpha,
        "lora_dropout": lora.dropout,
        "target_modules": list(lora.target_modules),
        "use_rslora": lora.rslora,
        "use_dora": lora.dora,
        "task_type": "CAUSAL_LM",
    }
    return _made(LoraConfig, "LoraConfig", own, lora.arguments, _fields(LoraConfig))


def quantization_config(job: TuningJob) -> BitsAndBytesConfig | None:
    """None with method lora. Raises TuningError (InvalidTrainingArguments)."""
    quantization = job.quantization
    if quantization is None:
        return None
    own: dict[str, Any] = {"load_in_8bit": True}
    if quantization.bits == 4:
        own = {
            "load_in_4bit": True,
            "bnb_4bit_quant_type": quantization.kind,
            "bnb_4bit_use_double_quant": quantization.double,
            "bnb_4bit_compute_dtype": getattr(torch, job.dtype),
        }
    known = inspect.signature(BitsAndBytesConfig).parameters
    return _made(BitsAndBytesConfig, "QuantizationConfig", own, quantization.arguments, known)


def sft_config(job: TuningJob, kind: Kind, output: Path, on_gpu: bool) -> SFTConfig:
    """Raises TuningError (InvalidTrainingArguments)."""
    own = {
        "output_dir": str(output),
        "per_device_train_batch_size": job.batch_size,
        "num_train_epochs": job.epochs,
        "max_steps": job.max_steps or -1,
        "max_length": job.max_length,
        "packing": job.packing,
        "activation_checkpointing": job.gradient_checkpointing,
        "activation_checkpointing_kwargs": {"use_reentrant": False} if job.gradient_checkpointing else None,
        # Rows with a question and an answer have a mask of their own; only conversations need the template's.
        "assistant_only_loss": job.assistant_only_loss and kind == "conversation",
        "completion_only_loss": job.assistant_only_loss if kind == "completion" else None,
        "seed": job.seed,
        "data_seed": job.seed,
        "bf16": on_gpu and job.dtype == "bfloat16",
        "fp16": on_gpu and job.dtype == "float16",
        "use_cpu": not on_gpu,
        "save_strategy": "steps",
        "save_steps": job.checkpoint_steps,
        "save_total_limit": 2,
        "logging_strategy": "steps",
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "report_to": [],
        "disable_tqdm": True,
        "dataloader_pin_memory": on_gpu,
    }
    asked = {key: value for key, value in job.training.items() if key not in _FROM_KAITO}
    return _made(SFTConfig, "TrainingArguments", own, asked, _fields(SFTConfig))


def _fields(cls: type[Any]) -> list[str]:
    return [field.name for field in dataclasses.fields(cls) if field.init]


def _made(
    make: Callable[..., _Made], section: str, own: Mapping[str, Any], asked: Mapping[str, Any], known: Iterable[str]
) -> _Made:
    names = set(known)
    for name in asked:
        if name not in names:
            likely = nearest(name, names, limit=1)
            way_out = f"write {likely[0]}" if likely else "leave it out"
            raise TuningError("InvalidTrainingArguments", f"{section} has no field {name}: {way_out}")
    try:
        return make(**{**asked, **own})
    except (TypeError, ValueError, ImportError, AttributeError) as error:
        raise TuningError("InvalidTrainingArguments", f"{section}: {error}: correct it, or leave it out") from error
