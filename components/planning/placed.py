"""A workspace on nodes of one size: what the plan decides of it, and what else would do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pydantic import JsonValue

from components.planning.config import PresetSpec, WorkspaceSpec
from components.planning.place import Place
from presets.catalog import Preset
from presets.node_sizes import NodeSize
from presets.placement import Placement
from presets.price import Price
from presets.serve_config import ApiKey
from presets.tuning_placement import TuningPlacement

Kind = Literal["inference", "tuning", "template"]

Placed = Placement | TuningPlacement


@dataclass(frozen=True, kw_only=True)
class Alternative:
    """Another size that would do, or a cheaper one that would not."""

    size: str
    nodes: int
    per_hour: float | None
    reason: str
    """Why it does not do; "" if it does."""


@dataclass(frozen=True, kw_only=True)
class PlacedWorkspace:
    """One workspace as it will be on nodes."""

    spec: WorkspaceSpec
    place: Place
    facts: Preset | None
    """None where the workspace has a template of its own."""
    node: NodeSize | None
    """None: existing nodes that nobody has described."""
    nodes: int
    replicas: int
    price: Price | None = None
    """Of one node for an hour; None: not known."""
    model: Placed | None = None
    """How the model is divided and what it needs; None with a template or with nodes that are not described."""
    reason: str
    """Why these nodes."""
    alternatives: tuple[Alternative, ...] = ()
    api_keys: tuple[ApiKey, ...] = ()
    """That its requests need one of; none where it does not serve a preset."""
    pods: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue])
    """What its pods are made from beside the model, by the names in components.planning.change_rules."""

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def kind(self) -> Kind:
        if self.spec.tuning:
            return "tuning"
        return "inference" if self._preset_spec else "template"

    @property
    def preset(self) -> str:
        """Empty where the workspace has a template of its own."""
        return self._preset_spec.name if self._preset_spec else ""

    @property
    def _preset_spec(self) -> PresetSpec | None:
        if self.spec.tuning:
            return self.spec.tuning.preset
        return self.spec.inference.preset if self.spec.inference else None

    @property
    def record_kind(self) -> str:
        """What it can never become another of: inference, templates included, or tuning."""
        return "tuning" if self.kind == "tuning" else "inference"

    @property
    def spot(self) -> bool:
        """Whether its nodes are paid for at the spot price; existing ones never are."""
        return self.spec.resource.spot and self.node is not None and not self.node.existing

    @property
    def per_hour(self) -> float | None:
        """Of all nodes; None: not known."""
        return None if self.price is None else self.nodes * self.price.per_hour

    @property
    def gpus(self) -> int:
        """That are paid for."""
        return self.nodes * self.node.gpus if self.node else 0
