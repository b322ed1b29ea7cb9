"""A model's config.json as it is found in the wild: numbers under several names, nested, null, infinite or absent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast


class DraftError(ValueError):
    """A model that cannot be described. str() is one sentence: what was found, and what to do."""


_NESTED = (("text_config",), ("llm_config",), ("language_config",), ("thinker_config", "text_config"))
"""Where multimodal models keep the config of their decoder."""

_DEFAULTS: Mapping[str, Mapping[str, object]] = {
    "gemma2": {"sliding_window_pattern": 2, "tie_word_embeddings": True},
    "gemma3_text": {
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "vocab_size": 262208,
        "max_position_embeddings": 131072,
        "sliding_window": 4096,
        "sliding_window_pattern": 6,
        "tie_word_embeddings": True,
    },
    "gemma3n_text": {"num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 256, "tie_word_embeddings": True},
    "gemma4_text": {"global_head_dim": 512, "sliding_window_pattern": 6, "tie_word_embeddings": True},
    "gemma": {"tie_word_embeddings": True},
    "cohere": {"tie_word_embeddings": True},
    "cohere2": {"sliding_window_pattern": 4, "tie_word_embeddings": True},
    "gpt2": {"tie_word_embeddings": True},
    "llama": {
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "vocab_size": 32000,
    },
    "mistral": {
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "vocab_size": 32000,
    },
}
"""What a config.json may leave out, by model_type, because transformers has it as the default of the config class.
Source: configuration_*.py of transformers 5.23. A type that is not here publishes what matters."""


class Fields:
    """Typed access to the decoder's fields; what is absent, null, not finite or of another type is None or empty."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        said: dict[str, Any] = dict(config)
        for path in _NESTED:
            if nested := _at(config, path):
                said |= {name: value for name, value in nested.items() if value is not None}
                break
        self.model_type = _string(said.get("model_type"))
        defaults = _DEFAULTS.get(self.model_type, {})
        # A flat text model of the family says gemma3_text; a multimodal one that leaves model_type out of its nested
        # config says gemma3, whose decoder is the same.
        defaults = defaults or _DEFAULTS.get(f"{self.model_type}_text", {})
        self.defaulted = tuple(sorted(name for name in defaults if name in _SIZES and said.get(name) is None))
        self._values: dict[str, Any] = {**defaults, **{key: value for key, value in said.items() if value is not None}}

    def has(self, name: str) -> bool:
        return name in self._values

    def whole(self, *names: str) -> int | None:
        """The first that is a positive whole number; of a list, with one number a layer, the largest."""
        for name in names:
            value = self._values.get(name)
            numbers = cast("list[object]", value) if isinstance(value, list) else [value]
            found = [number for each in numbers if (number := _positive(each)) is not None]
            if found and len(found) == len(numbers):
                return max(found)
        return None

    def flag(self, name: str) -> bool | None:
        value = self._values.get(name)
        return value if isinstance(value, bool) else None

    def string(self, name: str) -> str:
        return _string(self._values.get(name))

    def items(self, name: str) -> list[object]:
        value = self._values.get(name)
        return cast("list[object]", value) if isinstance(value, list) else []

    def inner(self, name: str) -> Fields:
        """A map within, such as rope_scaling."""
        return Fields(_mapping(self._values.get(name)))

    def inner_maps(self) -> list[Fields]:
        return [Fields(inner) for value in self._values.values() if (inner := _mapping(value))]


_SIZES = frozenset(
    {"hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim"}
)


def _at(config: Mapping[str, Any], path: tuple[str, ...]) -> Mapping[str, Any]:
    inner = config
    for name in path:
        inner = _mapping(inner.get(name))
    return inner


def _mapping(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""


def _positive(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # Infinity and NaN, which config.json may hold, are no whole numbers.
    if isinstance(value, float) and not value.is_integer():
        return None
    return int(value) if value > 0 else None
