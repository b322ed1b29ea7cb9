"""Adapters on disk and in images: good ones as peft writes them, and what people break."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

HIDDEN, LAYERS = 64, 2
MODEL_CONFIG = {"model_type": "llama", "hidden_size": HIDDEN, "num_hidden_layers": LAYERS}
CONFIG: dict[str, Any] = {
    "peft_type": "LORA",
    "task_type": "CAUSAL_LM",
    "base_model_name_or_path": "org/tiny",
    "r": 4,
    "lora_alpha": 8,
    "bias": "none",
    "target_modules": ["q_proj", "v_proj"],
    "rank_pattern": {},
}

Tensors = dict[str, np.ndarray]


def tensors(*, rank: int = 4, hidden: int = HIDDEN, layers: int = LAYERS, seed: int = 0) -> Tensors:
    """Random matrices of an adapter on the queries and values of every layer, under peft's names."""
    numbers = np.random.default_rng(seed)
    made: Tensors = {}
    for layer in range(layers):
        for module in ("q_proj", "v_proj"):
            name = f"base_model.model.model.layers.{layer}.self_attn.{module}"
            made[f"{name}.lora_A.weight"] = numbers.standard_normal((rank, hidden)).astype(np.float32)
            made[f"{name}.lora_B.weight"] = numbers.standard_normal((hidden, rank)).astype(np.float32)
    return made


def files(config: Mapping[str, Any] | None = None, made: Tensors | None = None) -> dict[str, bytes]:
    """The two files; `config` is added to the usual one."""
    return {
        "adapter_config.json": json.dumps(CONFIG | dict(config or {})).encode(),
        "adapter_model.safetensors": save(tensors() if made is None else made),
    }


def directory(at: Path, content: Mapping[str, bytes] | None = None) -> Path:
    """An adapter's directory."""
    at.mkdir(parents=True, exist_ok=True)
    for name, data in (files() if content is None else content).items():
        (at / name).write_bytes(data)
    return at


def layer(content: Mapping[str, bytes], *special: tarfile.TarInfo, folder: str = "data/") -> bytes:
    """A layer of an image, tar with gzip, with the files in a folder; `special` members have no content."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for member in special:
            archive.addfile(member)
        for name, data in content.items():
            member = tarfile.TarInfo(folder + name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


def link(name: str, target: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.SYMTYPE, target
    return member
