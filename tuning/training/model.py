"""The model of a job and its tokenizer, in the type that is trained with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from presets.tuning_job import TuningJob
from tuning.data.template import chat_template
from tuning.errors import TuningError
from tuning.training.settings import quantization_config


def load_tokenizer(job: TuningJob, weights: Path) -> PreTrainedTokenizerBase:
    """With the job's chat template, where it has one. Raises TuningError."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            weights, local_files_only=True, trust_remote_code=job.trust_remote_code
        )
    except (OSError, ValueError) as error:
        raise TuningError("WeightsCorrupt", f"{weights} has no tokenizer that can be read ({error})") from error
    tokenizer.chat_template = chat_template(job) or tokenizer.chat_template
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(job: TuningJob, weights: Path) -> PreTrainedModel:
    """Without the adapter; on the GPU where there is one. Raises TuningError."""
    transformers_logging.disable_progress_bar()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu" and job.dtype == "float16":
        raise TuningError(
            "InvalidTrainingArguments",
            "float16 is not trained on a CPU: write float32 or bfloat16 as ModelConfig.torch_dtype",
        )
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            weights,
            dtype=getattr(torch, job.dtype),
            device_map={"": device},
            quantization_config=quantization_config(job),
            local_files_only=True,
            trust_remote_code=job.trust_remote_code,
        )
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise TuningError(
            "UnsupportedArchitecture", f"the model in {weights} cannot be loaded to be trained ({error})"
        ) from error
    loaded.config.use_cache = False
    return loaded
