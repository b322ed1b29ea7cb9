"""Adapters for tiny models, made by peft, and what peft itself generates with them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from serving.engines.protocol import Adapter
from tests.serving.engines.tiny_models import Reference


def make_adapter(model_dir: Path, directory: Path, *, seed: int = 1, **config: Any) -> Path:
    """A random LoRA adapter that changes what the model says; `config` as of peft's LoraConfig."""
    torch.manual_seed(seed)
    model: Any = AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32)
    settings = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear", "init_lora_weights": False} | config
    # peft's random B is small beside the tiny models' weights, and a lost adapter would go unnoticed
    get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **settings)).save_pretrained(str(directory))
    tensors = load_file(directory / "adapter_model.safetensors")
    save_file({name: tensor * 3 for name, tensor in tensors.items()}, directory / "adapter_model.safetensors")
    return directory


def as_adapter(directory: Path, strength: float = 1.0) -> Adapter:
    return Adapter(id=directory.name, path=directory, strength=strength)


def changed(directory: Path, target: Path, **config: object) -> Path:
    """A copy of an adapter with other fields in its config; None removes a field."""
    target.mkdir()
    (target / "adapter_model.safetensors").write_bytes((directory / "adapter_model.safetensors").read_bytes())
    fields = json.loads((directory / "adapter_config.json").read_text()) | config
    kept = {name: value for name, value in fields.items() if name not in config or value is not None}
    (target / "adapter_config.json").write_text(json.dumps(kept))
    return target


def rewritten(
    directory: Path, target: Path, change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]
) -> Path:
    """A copy of an adapter with other tensors."""
    changed(directory, target)
    tensors = change(load_file(directory / "adapter_model.safetensors"))
    save_file({name: each.clone().contiguous() for name, each in tensors.items()}, target / "adapter_model.safetensors")
    return target


class AdaptedReference(Reference):
    """transformers' own greedy generation with an adapter in peft's hands, scaled by `strength`."""

    def __init__(self, model_dir: Path, adapter_dir: Path, strength: float = 1.0) -> None:
        super().__init__(model_dir)
        adapted: Any = PeftModel.from_pretrained(self._model, adapter_dir)
        for module in adapted.modules():
            if isinstance(module, LoraLayer):
                module.scaling = {name: scale * strength for name, scale in module.scaling.items()}
        self._model = adapted.eval()
