"""The one schema of what components write into a Ray Serve application and what serving reads from it.

`ServeArgs` becomes the application's `args`: a change of it replaces the replicas. `ServiceSettings` becomes the
deployment's `user_config`: a change of it is applied in place, to running replicas. Ray Serve drops unknown keys in
silence, so both sides validate with `extra="forbid"`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

IMPORT_PATH = "serving.app:build"
"""The application builder that Ray Serve imports."""

DEPLOYMENT = "ModelServer"
"""The one deployment of an application: it owns HTTP and the engine."""

Dtype = Literal["bfloat16", "float16", "float32"]

LoadQuantization = Literal["int8", "nf4"]
"""How bitsandbytes stores weights that are published in 16 bits."""


DEFAULT_RANK = 16
"""Largest rank of an adapter where the config does not say; vLLM's default max_lora_rank is the same."""
KERNEL_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""Those that vLLM's kernels come for: MaxLoRARanks in vllm/config/lora.py."""
MOST_RANK = KERNEL_RANKS[-1]
AdapterRank = Annotated[int, Field(ge=1, le=MOST_RANK)]

ADAPTER_RANK_STEP = 8
"""The transformers engine's places are for a multiple of it, so that adapters of about the same rank do not make it
build them again."""
ADAPTER_COPIES_BYTES = 2 * 2**30
"""What the transformers engine keeps of adapters' weights in the machine's memory, if that is more than one; the least
recently used beyond it are read again."""


def kernel_rank(rank: int) -> int:
    """The least rank of vLLM's kernels that serves adapters of `rank`. Raises ValueError above the largest.

    >>> kernel_rank(24)
    32
    """
    for served in KERNEL_RANKS:
        if rank <= served:
            return served
    raise ValueError(f"rank is {rank}; vLLM serves adapters up to rank {MOST_RANK}")


class ServeConfigModel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class VllmArgs(ServeConfigModel):
    """What vLLM is told beside what every engine is."""

    tensor_parallel: int = Field(default=1, ge=1)
    """GPUs that share each layer."""
    pipeline_parallel: int = Field(default=1, ge=1)
    """Stages, each with a part of the layers."""
    nodes: int = Field(default=1, ge=1)
    """Machines that one replica is spread over."""
    gpu_memory_utilization: float = Field(default=0.9, gt=0, le=1)
    """Part of each GPU's memory that it takes."""
    max_adapters: int = Field(default=0, ge=0)
    """LoRA adapters that are served at the same time; 0: none can be loaded."""
    max_adapter_rank: int = Field(default=DEFAULT_RANK, ge=1)
    arguments: dict[str, str | int | float | bool] = {}
    """inference.config.vllm without what the fields above hold; names as on vLLM's command line, without the dashes
    in front."""


class EngineArgs(ServeConfigModel):
    """How the engine runs; decided by the plan."""

    kind: Literal["transformers", "vllm"] = "transformers"
    dtype: Dtype = "bfloat16"
    quantization: LoadQuantization | None = None
    """Of weights that are published in 16 bits."""
    max_context: int = Field(ge=1)
    """Tokens of prompt and completion together that one sequence may hold."""
    max_sequences: int = Field(ge=1)
    """Sequences that are generated at the same time; more wait in the queue."""
    threads: int | None = Field(default=None, ge=1)
    """CPU threads of the engine process; None lets torch choose."""
    vllm: VllmArgs | None = None
    """Of kind vllm, which always has it; other kinds never do."""

    @model_validator(mode="after")
    def _vllm_with_its_arguments(self) -> Self:
        if (self.kind == "vllm") != (self.vllm is not None):
            raise ValueError("vllm has to be there with kind vllm, and with no other")
        return self


class ServeArgs(ServeConfigModel):
    """What the replicas are built from."""

    workspace: str
    """The model id of the OpenAI API, and the name of the application."""
    preset: str
    weights: str
    """A weights source, in the grammar of presets.weights_source."""
    trust_remote_code: bool = False
    tool_parser: str | None = None
    """Name of the format in which the model writes tool calls, as vLLM calls its parsers; None: it calls none."""
    reasoning_parser: str | None = None
    """Name of the format in which the model thinks before it answers, as vLLM calls its parsers."""
    engine: EngineArgs
    code_version: str
    """Digest of the serving code, so that new code replaces the replicas."""


class SamplingDefaults(ServeConfigModel):
    """What a request gets that does not say; the OpenAI API's own defaults unless the preset or the stack differs."""

    temperature: float = Field(default=1.0, ge=0, le=2)
    top_p: float = Field(default=1.0, gt=0, le=1)
    top_k: int = Field(default=0, ge=0)
    """0: all tokens."""
    min_p: float = Field(default=0.0, ge=0, le=1)
    """Tokens less likely than this share of the likeliest are left out."""
    repetition_penalty: float = Field(default=1.0, ge=0.01, le=100)


class ApiKey(ServeConfigModel):
    """A key that requests are made with. The key itself is nowhere here: only who was given it can say it."""

    name: str
    """Who or what it was given to; a label of the metrics."""
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    """Of the key as UTF-8."""
    models: tuple[str, ...] = ()
    """Workspaces, and WORKSPACE:ADAPTER for one adapter alone; empty: every model."""
    requests_per_minute: int | None = Field(default=None, ge=1)
    tokens_per_minute: int | None = Field(default=None, ge=1)
    """Of prompts and completions together."""
    concurrent_requests: int | None = Field(default=None, ge=1)
    admin: bool = False
    """Whether it may also do what changes the service for others."""


class AdapterSettings(ServeConfigModel):
    """One adapter beside the model."""

    name: str
    """Requests name it so, or `WORKSPACE:NAME`."""
    source: str
    """In the grammar of presets.adapter_source."""
    strength: float = Field(default=1.0, ge=0, le=1)
    """How much of it is added to the model where a request does not say."""
    rank: int = Field(ge=1)
    """Largest rank that the plan has room for."""


def adapters_generation(adapters: Iterable[AdapterSettings]) -> str:
    """A digest of a list of adapters in any order: how replicas say which list they have taken over.

    >>> adapters_generation([])
    '4f53cda18c2b'
    """
    listed = sorted((adapter.model_dump(mode="json") for adapter in adapters), key=lambda each: str(each["name"]))
    return hashlib.sha256(json.dumps(listed, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:12]


class ServiceSettings(ServeConfigModel):
    """What changes in place."""

    sampling: SamplingDefaults = SamplingDefaults()
    max_waiting_requests: int = Field(default=256, ge=1)
    """Requests that may wait for a sequence of the engine; further ones get 429."""
    request_timeout_seconds: float | None = Field(default=None, gt=0)
    """After which a request is ended, waiting included; None: never."""
    api_keys: tuple[ApiKey, ...] = ()
    """Empty: requests need none. Limits are those of one replica."""
    adapters: tuple[AdapterSettings, ...] = ()
