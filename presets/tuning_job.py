"""The one schema of what components ask of a tuning job, and of what the job says of itself.

`TuningJob` is the whole input of a job: `python -m tuning` reads it as JSON. Its digest is that of the adapter: the
same job is not run twice. `TuningProgress` is a line of JSON on its standard output, which Ray keeps as a log.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from presets.serve_config import AdapterRank, Dtype

ENTRYPOINT = "tuning"
"""The module that Ray runs: `python -m tuning`."""
JOB_VARIABLE = "MODELYARD_TUNING_JOB"
"""Environment variable of the job's process with the TuningJob as JSON; a command line is shown to everybody."""
PROGRESS_MARK = "modelyard-tuning: "
"""What a line of the log begins with that is a TuningProgress."""

CHECKPOINT_STEPS = 50

Phase = Literal["data", "weights", "training", "evaluation", "publishing", "done"]
Metric = Literal["loss", "perplexity", "exact_match", "rouge_l"]


class TuningModel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LoraSettings(TuningModel):
    """What peft's LoraConfig is made of."""

    rank: AdapterRank = 8
    alpha: float = Field(default=8, gt=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    target_modules: tuple[str, ...]
    """Names of linear layers; the preset's, unless the stack says otherwise."""
    rslora: bool = False
    """Scale by alpha / sqrt(rank) instead of alpha / rank."""
    dora: bool = False
    """Train magnitude and direction apart."""
    arguments: dict[str, Any] = {}
    """Further fields of LoraConfig, by peft's names."""


class QuantizationSettings(TuningModel):
    """How bitsandbytes stores the weights that are not trained."""

    bits: Literal[4, 8] = 4
    kind: Literal["nf4", "fp4"] = "nf4"
    """Of 4 bits."""
    double: bool = True
    """Whether the scales of 4 bits are quantized again."""
    arguments: dict[str, Any] = {}
    """Further fields of BitsAndBytesConfig, by its names."""


class FileChecksum(TuningModel):
    url: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class DataSettings(TuningModel):
    """Where examples come from, and how they are read: exactly one of urls, image, directory and dataset."""

    urls: tuple[str, ...] = ()
    """http or https; all of them, in this order."""
    image: str | None = None
    """OCI image with the files below /data."""
    directory: str | None = None
    """A file or a directory on the job's own machine, or where a volume is mounted."""
    dataset: str | None = None
    """hf:ORG/NAME[@REVISION][#SPLIT], or file:PATH; relative to the project while the job is planned, absolute when it
    runs."""
    checksums: tuple[FileChecksum, ...] = ()
    most_bytes: int = Field(default=10 * 2**30, ge=1)
    """Of one file; a longer one is refused."""
    allowed_hosts: tuple[str, ...] = ()
    """Host names of URLs that may be on private or loopback addresses."""
    messages_column: str | None = None
    """With a conversation: a list of {role, content}."""
    context_column: str | None = None
    """With what is asked; without it the response column is plain text."""
    response_column: str | None = None
    """With what is to be answered."""
    shuffle: bool = True
    shuffle_seed: int = 42
    train_split: float = Field(default=1.0, gt=0, le=1)
    """Part of the rows that is trained on, the rest is held out; 1: all, unless evaluation.split says how many are."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = [name for name in ("urls", "image", "directory", "dataset") if getattr(self, name)]
        if len(given) != 1:
            raise ValueError(f"exactly one of urls, image, directory and dataset, not {' and '.join(given) or 'none'}")
        return self


class GateSettings(TuningModel):
    """What an adapter has to reach to be served; a limit that is None is not looked at."""

    held_out_loss_improvement: float | None = None
    """Least part by which the loss over the held-out rows falls: (before - after) / before."""
    exact_match: float | None = Field(default=None, ge=0, le=1)
    """Least part of the held-out answers that come out word for word."""
    rouge_l: float | None = Field(default=None, ge=0, le=1)
    """Least ROUGE-L F1 over the held-out answers."""
    regression_loss_increase: float | None = Field(default=None, ge=0)
    """Largest part by which the loss over general text may rise."""

    @property
    def is_set(self) -> bool:
        return any(value is not None for value in self.model_dump().values())


class EvaluationSettings(TuningModel):
    split: float = Field(default=0.1, ge=0, lt=1)
    """Part of the rows that is held out; 0: none, and nothing is evaluated but the regression set."""
    most_rows: int = Field(default=200, ge=1)
    """Rows that are evaluated, of those held out."""
    metrics: tuple[Metric, ...] = ("loss", "perplexity", "exact_match", "rouge_l")
    """exact_match and rouge_l need answers to be generated, and are left out where these are long."""
    gate: GateSettings = GateSettings()


class OutputSettings(TuningModel):
    """Where the adapter goes: to an image, to a directory, or to both."""

    image: str | None = None
    """OCI reference; as KAITO makes them, with one layer: data/adapter_config.json, data/adapter_model.safetensors."""
    overwrite: bool = False
    """Whether a tag that has other content is moved."""
    directory: str | None = None
    """On a volume: a copy of the adapter's two files with its report beside them."""


class TuningJob(TuningModel):
    """One adapter to be made."""

    workspace: str
    preset: str
    weights: str
    """A weights source, in the grammar of presets.weights_source."""
    trust_remote_code: bool = False
    chat_template: str | None = None
    """A Jinja template, or the path of a file with one; None: the tokenizer's own."""
    method: Literal["lora", "qlora"]
    dtype: Dtype = "bfloat16"
    """Of the weights that are not quantized and of what is computed."""
    lora: LoraSettings
    quantization: QuantizationSettings | None = None
    """With method qlora."""
    data: DataSettings
    max_length: int = Field(ge=1)
    """Tokens of one example; longer ones are cut."""
    batch_size: int = Field(ge=1)
    """Examples of one step on one device."""
    gradient_checkpointing: bool = False
    """Compute activations again instead of keeping them."""
    packing: bool = False
    """Put several short examples into one row of max_length tokens."""
    assistant_only_loss: bool = True
    """Learn the answers and not the questions, where the data tells them apart."""
    seed: int = 42
    epochs: float = Field(default=3.0, gt=0)
    max_steps: int | None = Field(default=None, ge=1)
    """Instead of epochs."""
    devices: int = Field(default=1, ge=1)
    """GPUs of the node; 1 also where there is none."""
    training: dict[str, Any] = {}
    """Further fields of trl's SFTConfig, by its names."""
    checkpoint_steps: int = Field(default=CHECKPOINT_STEPS, ge=1)
    checkpoint_minutes: float = Field(default=5.0, gt=0)
    """A checkpoint is written after so many steps or minutes, whichever comes first."""
    resume: bool = True
    """Whether an earlier run of the same job is gone on with."""
    evaluation: EvaluationSettings = EvaluationSettings()
    output: OutputSettings
    directory: str
    """The job's own, on storage that outlives its process: data, checkpoints, adapter and reports. Not a part of what
    is made, and so not of the digest."""
    planned_bytes: int | None = None
    """What the plan has reckoned that a step takes on its device; said beside the peak."""

    @model_validator(mode="after")
    def _method_and_quantization(self) -> Self:
        if (self.method == "qlora") != (self.quantization is not None):
            raise ValueError("quantization has to be there with method qlora, and with no other")
        return self

    @property
    def digest(self) -> str:
        """Of all that the adapter follows from, 12 hexadecimal digits. What is at a URL or behind a tag is not looked
        at here: the job does that, and its report has the digests."""
        free = {"directory", "planned_bytes", "resume", "checkpoint_steps", "checkpoint_minutes"}
        content = json.dumps(self.model_dump(mode="json", exclude=free), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(content.encode()).hexdigest()[:12]


Count = Annotated[int, Field(ge=0)]


class TuningProgress(TuningModel):
    """Where a job is. The last one is the job's result."""

    phase: Phase
    message: str
    """One sentence for people."""
    step: Count = 0
    steps: Count = 0
    """Of the whole training; 0 while it is not known."""
    loss: float | None = None
    tokens_per_second: float | None = None
    eta_seconds: float | None = None
    """Until training ends."""
    reason: str = ""
    """Of a failure, in CamelCase; "" while there is none."""
    metrics: dict[str, float] = {}
    """Of the evaluation: NAME_before and NAME_after, and what else the report's table has."""
    adapter_digest: str | None = None
    """sha256:... of adapter_model.safetensors."""
    image_digest: str | None = None
    """sha256:... of the manifest that was pushed."""
    adapter_directory: str | None = None
    """Where the adapter's two files lie: a directory of the job's own, named by the first 12 digits of their digest."""
    gate_passed: bool | None = None
    """None while it is not known."""
    gate_failures: tuple[str, ...] = ()
    """A sentence for each limit that was not reached."""

    def line(self) -> str:
        """As it stands in the log."""
        return PROGRESS_MARK + self.model_dump_json(exclude_defaults=True)

    @classmethod
    def read(cls, line: str) -> TuningProgress | None:
        """None for any other line of the log. Raises ValidationError for one of another version.

        >>> TuningProgress.read(TuningProgress(phase="data", message="reading").line()).message
        'reading'
        """
        return cls.model_validate_json(line[len(PROGRESS_MARK) :]) if line.startswith(PROGRESS_MARK) else None
