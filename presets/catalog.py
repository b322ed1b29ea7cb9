"""The catalogue of presets: reads and checks the facts in models/*.yaml, and finds a preset by name."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, TypeAdapter, field_validator, model_validator

from presets.facts import Fact, as_tuple, read_facts
from presets.nearest import nearest
from presets.shape import ModelShape
from presets.weights_source import parse_weights_source

MODELS = Path(__file__).parent / "models"
RETIRED = Path(__file__).parent / "retired.yaml"

TuningMethod = Literal["lora", "qlora"]


class Repository(Fact):
    """Where a model is published."""

    name: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    revision: str = "main"
    """A commit where one is known, so that the same bytes are served next year; otherwise the branch."""
    license: str
    """A key of licenses.yaml: SPDX identifier where there is one, otherwise the name that the repository gives."""
    gated: bool
    """True if the repository is read only with the token of an account that accepted the licence."""


class Quantization(Fact):
    """How the published weights are stored, where it is not in 16 bits."""

    method: str
    """A key of `quantizations` in engines.yaml: fp8, mxfp4, nvfp4, awq, gptq, int4."""
    bits: int = Field(ge=2, le=8)


class Parsers(Fact):
    """Names of vLLM's parsers, which take tool calls and reasoning out of generated text; empty: none."""

    tool: str = ""
    reasoning: str = ""


class Preset(Fact):
    """One model as people ask for it, with the facts that its memory and limits follow from."""

    repository: Repository
    weights: str = ""
    """Where its files come from, in the grammar of presets.weights_source; empty: its repository on the hub."""
    architecture: str
    shape: ModelShape
    parameters: int | None = Field(default=None, ge=1)
    """Weights that are stored, tied ones once; None where only their bytes are known."""
    weights_gib: float | None = Field(default=None, gt=0)
    """GiB of the repository's safetensors, copies in other layouts (original/, metal/, consolidated) not counted."""
    quantization: Quantization | None = None
    max_context: int = Field(ge=1)
    """Tokens of prompt and completion together that the model was made for."""
    longrope_from: int | None = Field(default=None, ge=1)
    """Tokens of a sequence above which its rotary factors are others (longrope); None: they are always the same."""
    float16: bool = True
    """False if its activations overflow float16, so that it needs a GPU with bfloat16."""
    multimodal: bool = False
    """True if it takes images too; its weights then include the encoder's."""
    parsers: Parsers = Parsers()
    chat_template: str = ""
    """Name of a template to use instead of the repository's own; empty: its own."""
    lora_targets: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = ()
    """Projections that adapters usually change, as the layers' modules are called; empty: none are supported."""
    tuning: Annotated[tuple[TuningMethod, ...], BeforeValidator(as_tuple)] = ()
    """Methods by which adapters of it can be made here."""
    aliases: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = ()
    """Further names that it is known by."""

    @field_validator("weights")
    @classmethod
    def _weights_have_a_source(cls, weights: str) -> str:
        return str(parse_weights_source(weights)) if weights else ""

    @model_validator(mode="after")
    def _has_a_size(self) -> Self:
        if self.parameters is None and self.weights_gib is None:
            raise ValueError("parameters or weights_gib is needed: its memory follows from them")
        return self

    @property
    def weights_source(self) -> str:
        if self.weights:
            return self.weights
        pinned = "" if self.repository.revision == "main" else f"@{self.repository.revision}"
        return f"hf:{self.repository.name}{pinned}"


class UnknownPreset(LookupError):
    """No preset has this name. `nearest`: names of presets that look like it, best first; `reason`: why it could not be
    described as a model of its own, where that was tried."""

    def __init__(self, name: str, reason: str = "") -> None:
        self.name = name
        self.reason = reason
        self.nearest = nearest(name.rpartition("/")[2], catalog())
        super().__init__(reason or f"no preset is called {name!r}")


@dataclass(frozen=True)
class Models:
    """The presets of the catalogue, and models beyond it that a stack names by repository or directory."""

    described: Mapping[str, Preset] = field(default_factory=dict[str, "Preset"])
    """By the name that the stack gives."""
    failures: Mapping[str, str] = field(default_factory=dict[str, str])
    """Why a model could not be described, by its name."""

    def name(self, name: str) -> str:
        """As preset_name, for models beyond the catalogue too. Raises UnknownPreset."""
        if name in self.described:
            return name
        try:
            return preset_name(name)
        except UnknownPreset:
            raise UnknownPreset(name, self.failures.get(name, "")) from None

    def find(self, name: str) -> Preset:
        """The preset that a name means. Raises UnknownPreset."""
        return self.described[name] if name in self.described else find_preset(name)


@functools.cache
def catalog() -> dict[str, Preset]:
    """Every preset by its name, sorted. Read on first use, so that importing this module reads no file."""
    presets: dict[str, Preset] = {}
    adapter = TypeAdapter(dict[str, Preset])
    for file in sorted(MODELS.glob("*.yaml")):
        entries = adapter.validate_python(read_facts(file))
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
    found = _names().get(name.lower().removeprefix("hf:").removesuffix("@main"))
    if found is None:
        raise UnknownPreset(name)
    return found


def find_preset(name: str) -> Preset:
    """The preset that `name` means, as in preset_name. Raises UnknownPreset.

    >>> find_preset("smollm2-360m-instruct").weights_source
    'hf:HuggingFaceTB/SmolLM2-360M-Instruct'
    """
    return catalog()[preset_name(name)]


def retired(name: str) -> str:
    """What to use instead of a preset that KAITO once had, as a sentence; empty if `name` is none of those.

    >>> retired("Phi-2")
    'phi-2 is retired; use phi-4-mini-instruct, which is as small'
    """
    return _retired().get(name.lower(), "")


@functools.cache
def _retired() -> dict[str, str]:
    return TypeAdapter(dict[str, str]).validate_python(read_facts(RETIRED))


@functools.cache
def _names() -> dict[str, str]:
    by_repository = {preset.repository.name.lower(): name for name, preset in catalog().items()}
    by_alias = {alias.lower(): name for name, preset in catalog().items() for alias in preset.aliases}
    return by_repository | by_alias | {name.lower(): name for name in catalog()}
