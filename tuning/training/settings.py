"""A job's settings as peft, bitsandbytes and trl take them. What they do not know is refused by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import torch
from peft import LoraConfig
from pydantic import ConfigDict, TypeAdapter, ValidationError
from transformers import BitsAndBytesConfig
from trl.trainer.sft_config import SFTConfig

from presets.nearest import nearest
from presets.tuning_job import TuningJob
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
    return _made(LoraConfig, "LoraConfig", own, lora.arguments, get_type_hints(LoraConfig))


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
    known = dict.fromkeys(set(inspect.signature(BitsAndBytesConfig).parameters) - {"kwargs"}, Any)
    return _made(BitsAndBytesConfig, "QuantizationConfig", own, quantization.arguments, known)


def sft_config(job: TuningJob, output: Path, *, on_gpu: bool, assistant_only: bool, completion_only: bool) -> SFTConfig:
    """Which tokens are learnt is known from the rows: `assistant_only` and `completion_only` are trl's own fields of
    these names. Raises TuningError (InvalidTrainingArguments)."""
    own = {
        "output_dir": str(output),
        "per_device_train_batch_size": job.batch_size,
        "num_train_epochs": job.epochs,
        "max_steps": job.max_steps or -1,
        "max_length": job.max_length,
        "activation_checkpointing": job.gradient_checkpointing,
        "activation_checkpointing_kwargs": {"use_reentrant": False} if job.gradient_checkpointing else None,
        "assistant_only_loss": assistant_only,
        "completion_only_loss": completion_only,
        "seed": job.seed,
        "data_seed": job.seed,
        "bf16": on_gpu and job.dtype == "bfloat16",
        "fp16": on_gpu and job.dtype == "float16",
        "use_cpu": not on_gpu,
        "ddp_find_unused_parameters": False,
        "dataloader_pin_memory": on_gpu,
        **_PACKING,
        "packing": job.packing,
        **_CHECKPOINTS,
        "save_steps": job.checkpoint_steps,
        **_TELLING,
    }
    asked = {key: value for key, value in job.training.items() if key not in _FROM_KAITO}
    return _made(SFTConfig, "TrainingArguments", own, {**_ORDER, **asked}, get_type_hints(SFTConfig))


_PACKING: Mapping[str, Any] = {"packing_strategy": "bfd", "padding_free": False}
"""With "bfd" trl gives positions that begin anew with each example, of which transformers makes a mask that keeps
examples apart, also without flash attention; "wrapped" would cut examples and let them see each other."""
_CHECKPOINTS: Mapping[str, Any] = {
    "save_strategy": "steps",
    "save_total_limit": 2,
    "save_only_model": False,
    "ignore_data_skip": False,
    "load_best_model_at_end": False,
    "push_to_hub": False,
}
_TELLING: Mapping[str, Any] = {
    "logging_strategy": "steps",
    "logging_steps": 1,
    "logging_nan_inf_filter": False,
    "report_to": [],
    "disable_tqdm": True,
    "eval_strategy": "no",
}
_ORDER: Mapping[str, Any] = {"train_sampling_strategy": "sequential"}
"""The data step has shuffled the rows. Training arguments may say otherwise."""


def _made(
    make: Callable[..., _Made], section: str, own: Mapping[str, Any], asked: Mapping[str, Any], known: Mapping[str, Any]
) -> _Made:
    """`known`: type by name of field."""
    values = {name: _checked(f"{section}.{name}", value, name, known) for name, value in asked.items()}
    try:
        return make(**{**values, **own})
    except (TypeError, ValueError, ImportError, AttributeError) as error:
        raise TuningError("InvalidTrainingArguments", f"{section}: {error}: correct it, or leave it out") from error


def _checked(place: str, value: object, name: str, known: Mapping[str, Any]) -> object:
    """As the field's type has it: YAML reads 1e-4 as text. Raises TuningError (InvalidTrainingArguments)."""
    if name not in known:
        likely = nearest(name, known)
        way_out = f"write {' or '.join(likely)}" if likely else "leave it out"
        raise TuningError(
            "InvalidTrainingArguments", f"{place}: {place.partition('.')[0]} has no field {name}: {way_out}"
        )
    try:
        return TypeAdapter(known[name], config=_ANY_CLASS).validate_python(value)
    except ValidationError as error:
        wrong = error.errors()[0]["msg"]
        raise TuningError(
            "InvalidTrainingArguments", f"{place} is {value!r}: {wrong[:1].lower()}{wrong[1:]}: correct it"
        ) from error


_ANY_CLASS = ConfigDict(arbitrary_types_allowed=True)
