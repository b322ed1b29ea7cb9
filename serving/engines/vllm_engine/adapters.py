"""LoRA adapters as vLLM knows them: by a number and a directory."""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from serving.engines.adapter_files import CONFIG, WEIGHTS, opened_weights, read_config
from serving.engines.protocol import Adapter, AdapterRefused, AdapterUse, RequestFailed


@dataclass
class Loaded:
    """An adapter that vLLM has taken."""

    adapter: Adapter
    lora_request: object
    number: int
    path: Path
    uses: int = 0
    unused: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.unused.set()

    def begin_use(self) -> None:
        self.uses += 1
        self.unused.clear()

    def end_use(self) -> None:
        self.uses -= 1
        if not self.uses:
            self.unused.set()


class LoadedAdapters:
    """Those that requests may name, and how many requests are using each."""

    def __init__(self) -> None:
        self._by_id: dict[str, Loaded] = {}
        self._numbers = itertools.count(1)

    def next_number(self) -> int:
        """vLLM knows adapters by it; never used twice, since what it has cached of one must not answer for another."""
        return next(self._numbers)

    def find(self, adapter_id: str) -> Loaded | None:
        return self._by_id.get(adapter_id)

    def put(self, loaded: Loaded) -> None:
        self._by_id[loaded.adapter.id] = loaded

    def pop(self, adapter_id: str) -> Loaded | None:
        """New requests do not find it any more."""
        return self._by_id.pop(adapter_id, None)

    def for_use(self, use: AdapterUse | None) -> Loaded | None:
        """Raises RequestFailed for an adapter that is not loaded, and for a strength that it was not loaded with."""
        if use is None:
            return None
        loaded = self._by_id.get(use.id)
        if loaded is None:
            raise RequestFailed(f"adapter {use.id} is not loaded; ask for one that the list of models has")
        strength = loaded.adapter.strength
        if use.strength is not None and use.strength != strength:
            raise RequestFailed(
                f"strength {use.strength} is not what the adapter was loaded with ({strength}): vLLM scales an adapter "
                "when it loads it; leave the strength out, or use engine: transformers"
            )
        return loaded


def check_adapter(adapter: Adapter, model_dir: Path, max_rank: int) -> None:
    """Refuse what the files alone show; the rest vLLM says when it loads. `max_rank` 0: none is served."""
    if not max_rank:
        raise AdapterRefused(
            "AdaptersNotEnabled", "the engine was started without room for adapters; list one in the workspace"
        )
    config = _config(adapter)
    if config.get("peft_type") != "LORA":
        raise AdapterRefused("NotLora", f"it is of type {config.get('peft_type')}; LoRA adapters are served")
    rank = max([config.get("r") or 0, *(config.get("rank_pattern") or {}).values()])
    if rank > max_rank:
        raise AdapterRefused("RankTooHigh", f"it has rank {rank}, and the engine was started for at most {max_rank}")
    changed = {layer_of(name) for name in _tensor_names(adapter.path / WEIGHTS)}
    unknown = sorted(changed - layers_of_model(model_dir))
    if unknown:
        # vLLM would load it, and answer as the base model does.
        raise AdapterRefused(
            "UnsupportedModules",
            f"it changes {len(unknown)} layers that the model has not, {unknown[0]} among them; "
            "it was made for another model",
        )


def layers_of_model(model_dir: Path) -> frozenset[str]:
    """The layers of a checkpoint, as `layer_of` names them."""
    return frozenset(layer_of(name) for file in model_dir.glob("*.safetensors") for name in _tensor_names(file))


def layer_of(tensor: str) -> str:
    """The layer of a tensor of a model or of an adapter, without what stands before the number of its block, which
    differs between the classes that read the same checkpoint.

    >>> layer_of("base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight")
    'layers.0.self_attn.q_proj'
    >>> layer_of("language_model.model.layers.0.self_attn.q_proj.weight")
    'layers.0.self_attn.q_proj'
    """
    layer, _, _ = tensor.partition(".lora_")
    if layer == tensor:
        layer, _, _ = tensor.rpartition(".")
    _, block, inside = layer.rpartition("layers.")
    return block + inside if block else layer.rpartition(".")[2]


def directory_of(adapter: Adapter, copies: Path) -> Path:
    """Where vLLM reads the adapter from: its own directory, or below `copies` one that is scaled by its strength.

    LoRA adds alpha / rank (with rsLoRA alpha / sqrt(rank)) times B A, so a strength is a factor of alpha. The weights
    are linked, not copied.
    """
    if adapter.strength == 1.0:
        return adapter.path
    config = _config(adapter)
    config["lora_alpha"] = config["lora_alpha"] * adapter.strength
    if pattern := config.get("alpha_pattern"):
        config["alpha_pattern"] = {name: alpha * adapter.strength for name, alpha in pattern.items()}
    copy = Path(tempfile.mkdtemp(prefix="adapter-", dir=copies))
    (copy / CONFIG).write_text(json.dumps(config))
    (copy / WEIGHTS).symlink_to((adapter.path / WEIGHTS).absolute())
    return copy


def remove_copy(loaded: Loaded) -> None:
    if loaded.path != loaded.adapter.path:
        shutil.rmtree(loaded.path, ignore_errors=True)


def _tensor_names(file: Path) -> list[str]:
    with opened_weights(file, "np") as opened:
        return list(opened.keys())


def _config(adapter: Adapter) -> dict[str, Any]:
    config = read_config(adapter.path)
    if not isinstance(config.get("lora_alpha"), int | float):
        raise AdapterRefused(
            "AdapterUnreadable", f"{adapter.path / CONFIG} is no config of an adapter with a lora_alpha"
        )
    return config
