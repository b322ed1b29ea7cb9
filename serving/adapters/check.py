"""What can be told of an adapter without the model: its config, and names and shapes of its tensors.

Whether its targets are modules of the model, and whether it changes anything, is for the engine to say.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from safetensors import SafetensorError, safe_open

from serving.adapters.errors import AdapterError, Reason
from serving.engines.adapter_files import CONFIG, WEIGHTS

Shapes = Mapping[str, tuple[int, ...]]

_A, _B = ".lora_A.weight", ".lora_B.weight"
_LAYER = re.compile(r"\.(?:layers|h|blocks)\.(\d+)\.")
_READS_HIDDEN = ("q_proj", "k_proj", "v_proj", "qkv_proj", "gate_proj", "up_proj", "gate_up_proj", "q_a_proj")
"""Projections that read the residual stream, so that their features in are the model's hidden size."""

_VARIANTS: Mapping[str, str] = {
    "alora_invocation_tokens": "aLoRA",
    "arrow_config": "Arrow",
    "kasa_config": "KaSA",
    "layer_replication": "layer replication",
    "megatron_config": "Megatron layers",
    "monteclora_config": "MonteCLoRA",
    "target_parameters": "LoRA on parameters (target_parameters)",
    "use_bdlora": "BD-LoRA",
    "use_qalora": "QA-LoRA",
    "velora_config": "VeLoRA",
}
"""peft's variants of LoRA that compute something else; a value that is set asks for one."""


@dataclass(frozen=True, kw_only=True)
class BaseModel:
    """What the adapters are added to, as far as its config tells; None: not known."""

    names: tuple[str, ...]
    """Of which an adapter's config may name one as its base model."""
    hidden_size: int | None = None
    layers: int | None = None

    @classmethod
    def of(cls, directory: Path, names: Iterable[str]) -> BaseModel:
        """Of a model's directory; its config.json has been read before, so it is there."""
        config: dict[str, Any] = json.loads((directory / "config.json").read_bytes())
        text: dict[str, Any] = config.get("text_config") or config
        return cls(
            names=tuple(names),
            hidden_size=_whole(text.get("hidden_size")),
            layers=_whole(text.get("num_hidden_layers")),
        )


def check(directory: Path, source: str, base: BaseModel, max_rank: int) -> str:
    """Refuse an adapter that cannot be served here; a remark on one that can, "" if there is none.

    Raises AdapterError: AdapterUnreadable, NotLora, DoraUnsupported, BiasUnsupported, VariantUnsupported,
    UnsupportedModules, RankTooHigh, BaseModelMismatch.
    """
    config = _config(directory / CONFIG, source)
    shapes = _shapes(directory / WEIGHTS, source)
    refuse = _Refusal(source)
    _check_kind(config, refuse)
    _check_modules(config, shapes, refuse)
    _check_rank(config, shapes, max_rank, refuse)
    _check_sizes(shapes, base, refuse)
    return _remark(config, base)


@dataclass(frozen=True)
class _Refusal:
    source: str

    def __call__(self, reason: Reason, message: str) -> AdapterError:
        return AdapterError(reason, f"{self.source} {message}")


def _check_kind(config: Mapping[str, Any], refuse: _Refusal) -> None:
    kind = config.get("peft_type")
    if kind != "LORA":
        found = f"is an adapter of kind {kind}" if kind else f"has no peft_type in its {CONFIG}"
        raise refuse("NotLora", f"{found}: only LoRA adapters (peft_type LORA) are served; merge it into its model")
    task = config.get("task_type")
    if task not in (None, "CAUSAL_LM"):
        raise refuse("NotLora", f"was trained for {task}: only adapters for CAUSAL_LM generate text")
    if config.get("use_dora"):
        raise refuse("DoraUnsupported", "uses DoRA (use_dora): train it without, or merge it into its model")
    if config.get("bias") not in (None, "none") or config.get("lora_bias"):
        raise refuse("BiasUnsupported", 'trains biases: train it with bias "none" and lora_bias false, or merge it')
    for key, name in _VARIANTS.items():
        if config.get(key):
            raise refuse("VariantUnsupported", f"uses {name}, which is not served: train it without, or merge it")


def _check_modules(config: Mapping[str, Any], shapes: Shapes, refuse: _Refusal) -> None:
    if config.get("fan_in_fan_out"):
        raise refuse(
            "UnsupportedModules",
            "changes transposed layers (fan_in_fan_out), which no model here has: it belongs to one such as GPT-2",
        )
    if saved := config.get("modules_to_save"):
        raise refuse(
            "UnsupportedModules",
            f"brings whole modules of its own ({_some([str(name) for name in saved])}, modules_to_save), which would "
            "change the model for everyone: train it without them, or merge it and serve the result as a workspace",
        )
    if config.get("trainable_token_indices"):
        raise refuse(
            "UnsupportedModules", "brings embeddings of tokens (trainable_token_indices): train it without, or merge it"
        )
    if any("lora_magnitude_vector" in name for name in shapes):
        raise refuse("DoraUnsupported", "has tensors of DoRA: train it without, or merge it into its model")
    if any(name.endswith("lora_B.bias") for name in shapes):
        raise refuse("BiasUnsupported", "has biases (lora_B.bias): train it with lora_bias false, or merge it")
    if others := sorted(name for name in shapes if not name.endswith((_A, _B))):
        raise refuse(
            "UnsupportedModules",
            f"has tensors that are no LoRA matrices of linear layers ({_some(others)}), such as trained embeddings or "
            "added vocabulary: train it on linear layers alone, or merge it",
        )
    if not shapes:
        raise refuse("AdapterUnreadable", "has no tensors: save it again with peft's save_pretrained")
    halves = {name.removesuffix(_A).removesuffix(_B) for name in shapes}
    if lacking := sorted(name for name in halves if not {name + _A, name + _B} <= shapes.keys()):
        raise refuse("AdapterUnreadable", f"lacks one of the two matrices of {_some(lacking)}: save it again")


def _check_rank(config: Mapping[str, Any], shapes: Shapes, max_rank: int, refuse: _Refusal) -> None:
    pattern = config.get("rank_pattern") or {}
    told = [config.get("r"), *(pattern.values() if isinstance(pattern, dict) else [])]
    ranks = [_whole(rank) for rank in told]
    if any(rank is None or rank < 1 for rank in ranks):
        raise refuse("AdapterUnreadable", f"has no valid rank in its {CONFIG} (r and rank_pattern): save it again")
    highest = max([rank for rank in ranks if rank], default=0)
    highest = max(highest, *(shape[0] for name, shape in shapes.items() if name.endswith(_A) and shape))
    if highest > max_rank:
        raise refuse(
            "RankTooHigh",
            f"has rank {highest} and the plan has room for {max_rank}: set rank: {highest} on it in "
            "inference.adapters, or train one of a lower rank",
        )


def _check_sizes(shapes: Shapes, base: BaseModel, refuse: _Refusal) -> None:
    """Clear signs of another model; modules are compared one by one when the engine loads them."""
    layers = [int(match[1]) for name in shapes if (match := _LAYER.search(name))]
    if base.layers is not None and layers and max(layers) >= base.layers:
        raise _other_model(base, f"changes layer {max(layers)}", f"{base.layers} layers", refuse)
    for name, shape in shapes.items():
        module = name.removesuffix(_A).rpartition(".")[2]
        if not name.endswith(_A) or module not in _READS_HIDDEN or len(shape) != 2 or base.hidden_size is None:
            continue
        if shape[1] != base.hidden_size:
            raise _other_model(base, f"was trained for a hidden size of {shape[1]}", str(base.hidden_size), refuse)


def _other_model(base: BaseModel, found: str, has: str, refuse: _Refusal) -> AdapterError:
    return refuse(
        "BaseModelMismatch",
        f"{found}, but {base.names[0]} has {has}: it belongs to another model; serve it in a workspace of that one",
    )


def _remark(config: Mapping[str, Any], base: BaseModel) -> str:
    """Names prove nothing: the same model has one on the hub, another in a folder, another as a preset."""
    name = config.get("base_model_name_or_path")
    if not isinstance(name, str) or not name or not base.names or any(_same(name, known) for known in base.names):
        return ""
    return f"its config names {name[:120]} as its base model, and it is served on {base.names[0]}"


def _same(one: str, other: str) -> bool:
    """Whether two names of a model differ in organisation, folder or case of letters only."""
    last = [name.rstrip("/").rpartition("/")[2].lower() for name in (one, other)]
    return last[0] == last[1]


def _config(file: Path, source: str) -> dict[str, Any]:
    try:
        config = json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise AdapterError("AdapterUnreadable", f"{source}: {CONFIG} is no JSON ({error}): save it again") from None
    if not isinstance(config, dict):
        raise AdapterError("AdapterUnreadable", f"{source}: {CONFIG} is no JSON object: save it again")
    return cast("dict[str, Any]", config)


def _shapes(file: Path, source: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes; the library checks that the header's offsets cover the file exactly."""
    try:
        with safe_open(file, framework="np") as opened:
            return {name: tuple(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise AdapterError(
            "AdapterUnreadable", f"{source}: {WEIGHTS} is truncated or no safetensors ({error}): fetch or save it again"
        ) from None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _some(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
