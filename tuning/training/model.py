"""The model of a job and its tokenizer, in the type that is trained with."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import torch
from peft import prepare_model_for_kbit_training
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from presets.tuning_job import TuningJob
from tuning.data.template import chat_template
from tuning.errors import TuningError
from tuning.training.failures import explained
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
    """Without the adapter, frozen; on this process's GPU where there is one. Raises TuningError.

    With method qlora as peft prepares such models: what is not quantized is float32 then, as presets.tuning_memory
    counts, and the model is measured before the training in the types in which it is trained.
    """
    transformers_logging.disable_progress_bar()
    # Read when cuBLAS begins; without it matrix products may differ from run to run.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if torch.cuda.is_available() else "cpu"
    if device == "cpu" and job.dtype == "float16":
        raise TuningError(
            "InvalidTrainingArguments",
            "float16 is not trained on a CPU: write float32 or bfloat16 as ModelConfig.torch_dtype",
        )
    quantization = quantization_config(job)
    # bitsandbytes says at each product of each layer of 8 bits that the input becomes float16
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
    with explained(job, weights):
        try:
            _refuse_quantized(job, weights)
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                weights,
                dtype=getattr(torch, job.dtype),
                device_map={"": device},
                quantization_config=quantization,
                local_files_only=True,
                trust_remote_code=job.trust_remote_code,
                output_loading_info=True,
            )
        except (OSError, ValueError, KeyError, ImportError, SafetensorError) as error:
            raise TuningError(
                "UnsupportedArchitecture", f"the model in {weights} cannot be loaded to be trained ({error})"
            ) from error
        model, report = loaded
        missing = sorted(report.get("missing_keys", ()))
        if missing:  # transformers fills them with random numbers
            raise TuningError(
                "WeightsCorrupt",
                f"{len(missing)} tensors of the model are in no file of {weights}, {missing[0]} among them: fetch the "
                "weights again",
            )
        if quantization is not None:
            model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    return model.eval().requires_grad_(False)


def _refuse_quantized(job: TuningJob, weights: Path) -> None:
    config = AutoConfig.from_pretrained(weights, local_files_only=True, trust_remote_code=job.trust_remote_code)
    if getattr(config, "quantization_config", None):
        raise TuningError(
            "UnsupportedArchitecture",
            f"the weights in {weights} are published quantized, and adapters are trained over unquantized ones: choose "
            "the model's unquantized weights, and method qlora to save memory",
        )
