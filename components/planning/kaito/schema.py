"""Fields of KAITO's kinds, as their custom resource definitions have them; kubectl refuses all others."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from components.planning.config import ConfigModel, DataDestination, DataSource, PartitionSpec
from components.planning.fields import Method, Strength


class Metadata(ConfigModel):
    name: str = ""
    generate_name: str | None = None
    namespace: str = ""
    labels: dict[str, str] = Field(default={})
    annotations: dict[str, str] = Field(default={})
    uid: Any = None
    resource_version: Any = None
    generation: Any = None
    creation_timestamp: Any = None
    deletion_timestamp: Any = None
    deletion_grace_period_seconds: Any = None
    self_link: Any = None
    owner_references: Any = None
    finalizers: Any = None
    managed_fields: Any = None


class MatchExpression(ConfigModel):
    key: str
    operator: str
    values: list[str] = Field(default=[])


class Selector(ConfigModel):
    match_labels: dict[str, str] = Field(default={})
    match_expressions: list[MatchExpression] = Field(default=[])


class Resource(ConfigModel):
    count: int | None = None
    instance_type: str = ""
    label_selector: Selector
    preferred_nodes: list[str] = Field(default=[])
    partition: PartitionSpec | None = None


class PresetOptions(ConfigModel):
    image: str = ""
    image_pull_secrets: list[str] = Field(default=[])
    model_access_secret: str = ""


class Preset(ConfigModel):
    name: str
    access_mode: Literal["public", "private"] = "public"
    preset_options: PresetOptions = PresetOptions()


class Adapter(ConfigModel):
    source: DataSource
    strength: Strength | None = None


class Inference(ConfigModel):
    preset: Preset | None = None
    template: dict[str, Any] | None = None
    config: str = ""
    adapters: list[Adapter] = Field(default=[])


class Tuning(ConfigModel):
    preset: Preset
    method: Method
    config: str = ""
    input: DataSource
    output: DataDestination


class Workspace(ConfigModel):
    """resource, inference and tuning stand at the top: a Workspace has no spec."""

    api_version: str
    kind: str
    metadata: Metadata = Metadata()
    resource: Resource
    inference: Inference | None = None
    tuning: Tuning | None = None
    status: Any = None


class ReplicaResource(ConfigModel):
    instance_type: str = ""
    partition: PartitionSpec | None = None


class ReplicaTemplate(ConfigModel):
    metadata: Metadata = Metadata()
    resource: ReplicaResource = ReplicaResource()
    inference: Inference


class InferenceSetSpec(ConfigModel):
    replicas: int = Field(default=1, ge=0)
    node_count_limit: int | None = None
    label_selector: Selector
    template: ReplicaTemplate
    update_strategy: dict[str, Any] | None = None
    auto_upgrade: dict[str, Any] | None = None


class InferenceSet(ConfigModel):
    api_version: str
    kind: str
    metadata: Metadata = Metadata()
    spec: InferenceSetSpec
    status: Any = None
