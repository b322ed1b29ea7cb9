"""The catalogue of presets: reads and checks the facts in models/*.yaml, and finds a preset by name."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, field_validator, model_validator

from presets.nearest import nearest
from presets.weights_source import parse_weights_source

MODELS = Path(__file__).parent / "models"


class Fact(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Repository(Fact):
    """Where a model is published."""

    name: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    license: str
    """SPDX identifier where there is one, otherwise the name that the repository gives."""
    gated: bool
    """True if the repository is read only with the token of an account that accepted the licence."""


class ModelShape(Fact):
    """Sizes of a decoder whose layers are all alike; fields as in its config.json."""

    layers: int = Field(ge=1)
    hidden_size: int = Field(ge=1)
    intermediate_size: int = Field(ge=1)
    heads: int = Field(ge=1)
    kv_heads: int = Field(ge=1)
    head_dim: int = Field(ge=1)
    vocab_size: int = Field(ge=1)
    tied_embeddings: bool
    """True if the output layer shares the weights of the input embedding."""

    @model_validator(mode="after")
    def _groups_are_even(self) -> Self:
        if self.heads % self.kv_heads:
            raise ValueError(f"{self.heads} heads cannot share {self.kv_heads} kv_heads evenly")
        return self


class Preset(Fact):
    """One model as people ask for it, with the facts that its memory and limits follow from."""

    repository: Repository
    weights: str = ""
    """Where its files come from, in the grammar of presets.weights_source; empty: its repository on the hub."""
    architecture: str
    shape: ModelShape
    parameters: int = Field(ge=1)
    """Weights that are stored, tied ones once."""
    max_context: int = Field(ge=1)
    """Tokens of prompt and completion together that the model was made for."""
    longrope_from: int | None = Field(default=None, ge=1)
    """Tokens of a sequence above which its rotary factors are others (longrope); None: they are always the same."""

    @field_validator("weights")
    @classmethod
    def _weights_have_a_source(cls, weights: str) -> str:
        return str(parse_weights_source(weights)) if weights else ""

    @property
    def weights_source(self) -> str:
        return self.weights or f"hf:{self.repository.name}"


class UnknownPreset(LookupError):
    """No preset has this name. `nearest`: names of presets that look like it, best first."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.nearest = nearest(name.rpartition("/")[2], catalog())
        super().__init__(f"no preset is called {name!r}")


@functools.cache
def catalog() -> dict[str, Preset]:
    """Every preset by its name, sorted. Read on first use, so that importing this module reads no file."""
    presets: dict[str, Preset] = {}
    adapter = TypeAdapter(dict[str, Preset])
    for file in sorted(MODELS.glob("*.yaml")):
        entries = adapter.validate_python(yaml.safe_load(file.read_text(encoding="utf-8")))
        for name in entries.keys() & presets.keys():
            raise ValueError(f"{file.name} describes {name}, which another file describes already")
        presets |= entries
    return dict(sorted(presets.items()))


def preset_name(name: str) -> str:
    """The name in the catalogue of what `name` means: a preset or its repository, in any case of letters.

    Raises UnknownPreset.

    >>> preset_name("Phi-3-Mini-4K-Instruct")
    'phi-3-mini-4k-instruct'
    >>> preset_name("microsoft/Phi-3-mini-4k-instruct")
    'phi-3-mini-4k-instruct'
    """
    found = _names().get(name.lower())
    if found is None:
        raise UnknownPreset(name)
    return found


def find_preset(name: str) -> Preset:
    """The preset that `name` means, as in preset_name. Raises UnknownPreset.

    >>> find_preset("smollm2-360m-instruct").weights_source
    'hf:HuggingFaceTB/SmolLM2-360M-Instruct'
    """
    return catalog()[preset_name(name)]


@functools.cache
def _names() -> dict[str, str]:
    by_repository = {preset.repository.name.lower(): name for name, preset in catalog().items()}
    return by_repository | {name.lower(): name for name in catalog()}
