"""The files of an adapter, as peft's save_pretrained names them."""

from __future__ import annotations

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
