"""A LoRA adapter's files, read and checked against the layers of the model that is served."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch

from serving.engines.adapter_files import CONFIG, WEIGHTS, opened_weights, read_config
from serving.engines.protocol import AdapterRefused

_PREFIX = "base_model.model."
_DTYPES = (torch.float32, torch.float16, torch.bfloat16)
_LAYER_NAME = re.compile(r"[A-Za-z0-9_.]{1,200}")
_LARGEST_ALPHA = 1e9
"""Far beyond what anybody trains with; NaN is no number below it either."""
_SHOWN = 3
"""Names that a refusal lists."""


class LayerShape(NamedTuple):
    """Of a layer that adapters may change."""

    in_features: int
    out_features: int


@dataclass(frozen=True)
class AdapterWeights:
    """By layer: A (rank, in_features) and B (rank, out_features), transposed and with its scale in it."""

    layers: Mapping[str, tuple[torch.Tensor, torch.Tensor]]

    @property
    def rank(self) -> int:
        """The largest of any layer."""
        return max(down.shape[0] for down, _ in self.layers.values())

    @property
    def size_bytes(self) -> int:
        return sum(matrix.nbytes for pair in self.layers.values() for matrix in pair)


def read_adapter(directory: Path, layers: Mapping[str, LayerShape], dtype: torch.dtype) -> AdapterWeights:
    """What `directory` holds, in `dtype` on the CPU. Touches nothing of an engine, so any thread may call it.

    Raises AdapterRefused.
    """
    config = _config(directory)
    with opened_weights(directory / WEIGHTS, "pt") as opened:
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - it is no mapping
    pairs = _pairs(tensors)
    _refuse_unknown(pairs, layers)
    read: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    for name, (down, up) in sorted(pairs.items()):
        _check(name, down, up, layers[name])
        scaled = up.float() * _scale(config, name, down.shape[0])
        read[name] = (down.to(dtype).contiguous(), scaled.T.to(dtype).contiguous())
    if not any(bool((down != 0).any() and (up != 0).any()) for down, up in read.values()):
        raise AdapterRefused("NoEffect", "all of its products are zero: it answers as the base model does; train it")
    return AdapterWeights(read)


def _config(directory: Path) -> Mapping[str, Any]:
    config = read_config(directory)
    if config.get("peft_type") != "LORA":
        raise AdapterRefused("NotLora", f"it is of type {config.get('peft_type')}; LoRA adapters are served")
    if config.get("use_dora"):
        raise AdapterRefused("DoraUnsupported", "it uses DoRA, which scales the base's weights; train it without")
    if config.get("bias", "none") != "none" or config.get("lora_bias"):
        raise AdapterRefused("BiasUnsupported", "it changes biases; train it with bias: none")
    if config.get("modules_to_save"):
        kept = ", ".join(config["modules_to_save"])
        raise AdapterRefused("UnsupportedModules", f"it replaces whole modules ({kept}), which no adapter shares")
    if config.get("fan_in_fan_out"):
        raise AdapterRefused("UnsupportedModules", "it is made for transposed layers (fan_in_fan_out)")
    config["lora_alpha"] = _require_number(config.get("lora_alpha"), "lora_alpha")
    config["alpha_pattern"] = _require_plain(config.get("alpha_pattern") or {})
    return config


def _pairs(tensors: Mapping[str, torch.Tensor]) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """A and B by the name of their layer."""
    found: dict[str, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        if "lora_magnitude" in key:
            raise AdapterRefused("DoraUnsupported", f"it has {key}, of DoRA; train it without")
        name, matched, matrix = key.removeprefix(_PREFIX).rpartition(".lora_")
        if not matched or matrix not in ("A.weight", "B.weight"):
            raise AdapterRefused("UnsupportedModules", f"it has {key}, and only LoRA matrices of layers are served")
        found.setdefault(name, {})[matrix[0]] = tensor
    halves = [name for name, pair in found.items() if len(pair) < 2]
    if halves or not found:
        what = f"{halves[0]} has one of its two matrices" if halves else "it has no matrices"
        raise AdapterRefused("AdapterUnreadable", f"{what}; fetch it again")
    return {name: (pair["A"], pair["B"]) for name, pair in found.items()}


def _refuse_unknown(names: Mapping[str, object], layers: Mapping[str, LayerShape]) -> None:
    unknown = sorted(set(names) - set(layers))
    if unknown:
        known = sorted({name.rpartition(".")[2] for name in layers})
        more = f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
        raise AdapterRefused(
            "UnknownTargetModules",
            f"it changes {', '.join(unknown[:_SHOWN])}{more}, which this model has not, or where no adapter can be "
            f"added; here these can: {', '.join(known)}",
        )


def _check(name: str, down: torch.Tensor, up: torch.Tensor, layer: LayerShape) -> None:
    for matrix in (down, up):
        if matrix.dtype not in _DTYPES:
            raise AdapterRefused("DtypeUnsupported", f"{name} is {matrix.dtype}; store it in 16 or 32 bits")
    rank = down.shape[0]
    if down.shape != (rank, layer.in_features) or up.shape != (layer.out_features, rank) or not rank:
        raise AdapterRefused(
            "ShapeMismatch",
            f"{name} has matrices {tuple(down.shape)} and {tuple(up.shape)}, and the model's layer is "
            f"{layer.in_features} to {layer.out_features}: it was made for another model",
        )
    if not (bool(down.isfinite().all()) and bool(up.isfinite().all())):
        raise AdapterRefused("NotFinite", f"{name} has numbers that are not finite; its training diverged")


def _scale(config: Mapping[str, Any], name: str, rank: int) -> float:
    """As peft: alpha / r, or alpha / sqrt(r) of rank-stabilised LoRA; a pattern may give a layer its own alpha."""
    alpha = config["lora_alpha"]
    for pattern, own in config["alpha_pattern"].items():
        if name == pattern or name.endswith(f".{pattern}"):
            alpha = own
            break
    return alpha / (rank**0.5 if config.get("use_rslora") else rank)


def _require_plain(patterns: object) -> Mapping[str, float]:
    """Layers' names or their ends. peft takes regular expressions, which an adapter could stop the engine with."""
    if not isinstance(patterns, Mapping):
        raise AdapterRefused("AdapterUnreadable", "its alpha_pattern is no object of layers and numbers")
    plain: dict[str, float] = {}
    for pattern, alpha in patterns.items():
        if not isinstance(pattern, str) or not _LAYER_NAME.fullmatch(pattern):
            raise AdapterRefused(
                "UnsupportedModules",
                f"its alpha_pattern has {str(pattern)[:100]!r}, and only names of layers are taken, such as q_proj or "
                "layers.3.mlp.up_proj: write these into its config",
            )
        plain[pattern] = _require_number(alpha, f"alpha_pattern.{pattern}")
    return plain


def _require_number(alpha: object, where: str) -> float:
    if not isinstance(alpha, int | float) or isinstance(alpha, bool) or not -_LARGEST_ALPHA < alpha < _LARGEST_ALPHA:
        raise AdapterRefused("AdapterUnreadable", f"{CONFIG} has no number of use as {where}, but {str(alpha)[:100]!r}")
    return float(alpha)
