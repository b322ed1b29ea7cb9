"""The one schema of what components write into a Ray Serve application and what serving reads from it.

`ServeArgs` becomes the application's `args`: a change of it replaces the replicas. `ServiceSettings` becomes the
deployment's `user_config`: a change of it is applied in place, to running replicas. Ray Serve drops unknown keys in
silence, so both sides validate with `extra="forbid"`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

IMPORT_PATH = "serving.app:build"
"""The application builder that Ray Serve imports."""

DEPLOYMENT = "ModelServer"
"""The one deployment of an application: it owns HTTP and the engine."""

Dtype = Literal["bfloat16", "float16", "float32"]

LoadQuantization = Literal["int8", "nf4"]
"""How bitsandbytes stores weights that are published in 16 bits."""


class ServeConfigModel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class EngineArgs(ServeConfigModel):
    """How the engine runs; decided by the plan."""

    kind: Literal["transformers"] = "transformers"
    dtype: Dtype = "bfloat16"
    max_context: int = Field(ge=1)
    """Tokens of prompt and completion together that one sequence may hold."""
    max_sequences: int = Field(ge=1)
    """Sequences that are generated at the same time; more wait in the queue."""
    threads: int | None = Field(default=None, ge=1)
    """CPU threads of the engine process; None lets torch choose."""


class ServeArgs(ServeConfigModel):
    """What the replicas are built from."""

    workspace: str
    """The model id of the OpenAI API, and the name of the application."""
    preset: str
    weights: str
    """A weights source, in the grammar of presets.weights_source."""
    trust_remote_code: bool = False
    engine: EngineArgs
    code_version: str
    """Digest of the serving code, so that new code replaces the replicas."""


class SamplingDefaults(ServeConfigModel):
    """What a request gets that does not say; the OpenAI API's own defaults unless the preset or the stack differs."""

    temperature: float = Field(default=1.0, ge=0, le=2)
    top_p: float = Field(default=1.0, gt=0, le=1)
    top_k: int = Field(default=0, ge=0)
    """0: all tokens."""


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


class ServiceSettings(ServeConfigModel):
    """What changes in place."""

    sampling: SamplingDefaults = SamplingDefaults()
    max_waiting_requests: int = Field(default=256, ge=1)
    """Requests that may wait for a sequence of the engine; further ones get 429."""
    request_timeout_seconds: float | None = Field(default=None, gt=0)
    """After which a request is ended, waiting included; None: never."""
    api_keys: tuple[ApiKey, ...] = ()
    """Empty: requests need none. Limits are those of one replica."""
