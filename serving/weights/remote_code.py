"""Code that comes with weights. It runs with the rights of the service, so it is refused unless asked for."""

from __future__ import annotations

from pathlib import Path

from serving.weights.checkpoint import read_json
from serving.weights.errors import WeightsError


def refuse(root: Path, source: str, *, trusted: bool) -> None:
    """Raise WeightsError (RemoteCodeRefused) if the model in `root` works only with code of its own.

    An `auto_map` alone is no reason: many repositories keep theirs after transformers has learned their architecture,
    and without trust transformers then takes its own class.
    """
    if trusted:
        return
    config = read_json(root / "config.json", source)
    model_type = str(config.get("model_type"))
    if config.get("auto_map") and not _known_to_transformers(model_type):
        raise _refusal(source, f"its architecture {model_type} is not in transformers and comes as code")
    if (root / "tokenizer.json").exists() or not (root / "tokenizer_config.json").exists():
        return
    if "AutoTokenizer" in (read_json(root / "tokenizer_config.json", source).get("auto_map") or {}):
        raise _refusal(source, "its tokenizer comes as code")


def _refusal(source: str, why: str) -> WeightsError:
    return WeightsError(
        "RemoteCodeRefused",
        f"{source}: {why}, and code that comes with a model is not run: choose a model without",
    )


def _known_to_transformers(model_type: str) -> bool:
    try:
        from transformers.models.auto.auto_mappings import CONFIG_MAPPING_NAMES  # unlike its users, imports no torch
    except ImportError:
        return False
    return model_type in CONFIG_MAPPING_NAMES
