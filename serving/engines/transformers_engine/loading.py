"""From a directory of safetensors to a model that the engine can run, or the reason why it cannot."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, BitsAndBytesConfig, PreTrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING
from transformers.utils import logging as transformers_logging

from presets.serve_config import Dtype, LoadQuantization
from serving.engines.transformers_engine import attention
from serving.errors import StartupFailure

_log = logging.getLogger(__name__)

_ATTENDED_LAYERS = {"full_attention", "sliding_attention"}


def pick_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def load_model(
    model_dir: Path,
    *,
    dtype: Dtype,
    device: torch.device,
    max_context: int,
    trust_remote_code: bool,
    quantization: LoadQuantization | None = None,
) -> PreTrainedModel:
    """A model for inference on `device`, with the engine's attention. Raises StartupFailure; reads no network.

    quantization: what bitsandbytes makes of the weights of linear layers; products still give `dtype`.
    """
    transformers_logging.disable_progress_bar()
    config = _read_config(model_dir, trust_remote_code)
    refuse_unsupported(config, max_context, trust_remote_code)
    if quantization and getattr(config, "quantization_config", None):
        raise StartupFailure(
            "UnsupportedArchitecture",
            f"the weights in {model_dir} are published quantized, so {quantization} cannot be made of them; leave "
            "quantization out",
        )
    if not any(model_dir.glob("*.safetensors")):
        raise StartupFailure("WeightsNotFound", f"{model_dir} has no *.safetensors; fetch the weights again")
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            model_dir,
            config=config,
            dtype=getattr(torch, dtype),
            attn_implementation=attention.NAME,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=trust_remote_code,
            output_loading_info=True,
            **_quantized(quantization, dtype, device),
        )
        model, report = loaded
        # bitsandbytes' layers are made where they stay
        model = (model if quantization else model.to(device)).eval().requires_grad_(False)
    except Exception as error:
        raise _explain(error, model_dir, config.model_type) from error
    _refuse_missing_weights(model_dir, report)
    return model


def _quantized(quantization: LoadQuantization | None, dtype: Dtype, device: torch.device) -> dict[str, Any]:
    """What transformers has to be told beside all else."""
    if quantization is None:
        return {}
    if quantization == "int8":
        # it says at each product of each layer that the input becomes float16
        logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
        config = BitsAndBytesConfig(load_in_8bit=True)
    else:
        config = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,  # as presets.memory.NF4_BYTES counts
            bnb_4bit_compute_dtype=getattr(torch, dtype),
        )
    return {"quantization_config": config, "device_map": device}


def refuse_unsupported(config: PreTrainedConfig, max_context: int, trust_remote_code: bool = False) -> None:
    """Raise StartupFailure for what the config alone shows that the engine cannot run as transformers would."""
    kind = config.model_type
    if getattr(config, "is_encoder_decoder", False):
        raise StartupFailure(
            "UnsupportedArchitecture",
            f"{kind} is an encoder-decoder; this engine runs decoder-only language models, choose one of these",
        )
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING and not trust_remote_code:
        raise StartupFailure(
            "UnsupportedArchitecture",
            f"transformers has no causal language model for {kind}; choose a decoder-only language model",
        )
    text = config.get_text_config(decoder=True)
    other_layers = set(getattr(text, "layer_types", None) or ()) - _ATTENDED_LAYERS
    if other_layers or getattr(text, "num_kv_shared_layers", 0):
        found = f"layers of type {', '.join(sorted(other_layers))}" if other_layers else "layers that share their keys"
        raise StartupFailure(
            "UnsupportedArchitecture", f"{kind} has {found}; this engine runs full and sliding attention only"
        )
    longest = getattr(text, "max_position_embeddings", None)
    if longest and max_context > longest:
        raise StartupFailure(
            "ContextTooLong",
            f"max_context is {max_context}, {kind} was made for {longest} tokens; set max_context to at most {longest}",
        )
    for rope in _ropes(text):
        original = rope.get("original_max_position_embeddings") or longest
        if rope.get("rope_type") == "longrope" and original and max_context > original:
            # transformers picks one set of factors for a whole batch: a long sequence would change its neighbours
            raise StartupFailure(
                "ContextTooLong",
                f"max_context is {max_context}, but beyond {original} tokens {kind} rotates all sequences of a batch "
                f"by its longest (longrope), which this engine refuses; set max_context to at most {original}",
            )


def _ropes(config: PreTrainedConfig) -> Iterator[Mapping[str, Any]]:
    """The rotary settings, of which some models have one a layer type."""
    parameters = getattr(config, "rope_parameters", None) or {}
    nested = [value for value in parameters.values() if isinstance(value, Mapping)]
    yield from nested or [parameters]


def _read_config(model_dir: Path, trust_remote_code: bool) -> PreTrainedConfig:
    if not (model_dir / "config.json").is_file():
        raise StartupFailure("WeightsNotFound", f"{model_dir} has no config.json; fetch the weights again")
    try:
        return AutoConfig.from_pretrained(model_dir, local_files_only=True, trust_remote_code=trust_remote_code)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise StartupFailure("UnsupportedArchitecture", f"{model_dir}/config.json: {error}") from error


def _refuse_missing_weights(model_dir: Path, report: Mapping[str, Any]) -> None:
    """transformers fills what it does not find with random numbers and only warns."""
    missing = sorted(report.get("missing_keys", ()))
    if missing:
        raise StartupFailure(
            "WeightsCorrupt",
            f"{len(missing)} tensors of the model are in no safetensors file of {model_dir}, {missing[0]} among them; "
            "fetch the weights again",
        )


def _explain(error: Exception, model_dir: Path, kind: str) -> StartupFailure:
    """What went wrong in loading, in the words of whoever can mend it."""
    out_of_memory = isinstance(error, MemoryError | torch.OutOfMemoryError)
    if out_of_memory or (isinstance(error, RuntimeError) and "can't allocate memory" in str(error)):
        return StartupFailure(
            "OutOfMemory",
            f"the weights in {model_dir} do not fit into memory ({error}); choose a smaller model, a smaller dtype or "
            "a larger machine",
        )
    if isinstance(error, KeyError):  # classes that choose their attention by name know only their own
        return StartupFailure(
            "UnsupportedArchitecture",
            f"{kind} in transformers does not take an attention function ({error}); choose another model",
        )
    if isinstance(error, OSError | RuntimeError | SafetensorError | ValueError):
        return StartupFailure(
            "WeightsCorrupt", f"the weights in {model_dir} cannot be loaded: {error}; fetch the weights again"
        )
    return StartupFailure("UnsupportedArchitecture", f"{kind} cannot be loaded: {type(error).__name__}: {error}")
