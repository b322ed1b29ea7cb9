"""The part of a stack's config that has it tried with something smaller."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from components.planning.config_model import ConfigModel
from components.planning.fields import PresetName, WeightsText
from presets.engines import EngineName


class StandInModel(ConfigModel):
    """A model that takes the place of every workspace's own."""

    preset: PresetName
    """As in a workspace."""
    weights: WeightsText | None = None
    """Where its files come from, such as file:/models/smollm2. Default: the preset's own source."""
    engine: EngineName | None = None
    """What generates the tokens, in place of what the workspaces ask for."""
    max_context: Annotated[int | None, Field(ge=1)] = None
    """In place of the workspaces' own."""
    max_sequences: Annotated[int | None, Field(ge=1, le=1024)] = None
    """In place of the workspaces' own."""


class StandInsSpec(ConfigModel):
    """What stands in for the real things while a stack is tried: the same workspaces and manifests, unchanged, with a
    small model, or with a registry and files near at hand."""

    model: StandInModel | None = None
    addresses: dict[str, str] = {}
    """What is put in the place of a text wherever it stands in workspaces and manifests, such as a registry's name or
    the beginning of a URL."""
