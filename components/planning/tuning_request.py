"""From a tuning of the config to the job that makes it: KAITO's sections, ours, and what the plan has chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from components.planning.config import TuningDataSource, TuningSpec, WorkspaceSpec
from components.planning.errors import Problem
from components.planning.place import Place, shown
from components.planning.training_values import ALL_LINEAR, section
from components.planning.tuning_config import DEFAULT_LORA
from presets.catalog import Preset
from presets.memory import GIB
from presets.serve_config import Dtype
from presets.tuning_job import (
    CHECKPOINT_STEPS,
    DataSettings,
    EvaluationSettings,
    FileChecksum,
    GateSettings,
    LoraSettings,
    OutputSettings,
    QuantizationSettings,
    TuningJob,
)

_DTYPES: Mapping[str, Dtype] = {
    "bfloat16": "bfloat16",
    "bf16": "bfloat16",
    "float16": "float16",
    "fp16": "float16",
    "half": "float16",
    "float32": "float32",
    "fp32": "float32",
    "float": "float32",
}
_TAKEN = frozenset(
    {
        *("per_device_train_batch_size", "gradient_checkpointing", "max_length", "max_seq_length"),
        *("seed", "max_steps", "num_train_epochs", "packing", "save_steps", "assistant_only_loss"),
        # Where results lie and how a checkpoint is written is the job's own business.
        *("output_dir", "save_strategy", "ddp_find_unused_parameters"),
    }
)
"""Of TrainingArguments: what the job has fields of its own for, or decides itself."""
DEFAULT_SEED = 42
"""transformers' own, and KAITO's for the order of the rows."""


@dataclass(frozen=True, kw_only=True)
class TuningSetup:
    """What the plan has decided of a job, beside what the config says."""

    dtype: Dtype
    max_length: int
    """Tokens of an example."""
    batch_size: int
    gradient_checkpointing: bool
    devices: int
    planned_bytes: int
    """On each device."""


def dtype_of(tuning: TuningSpec) -> Dtype | None:
    """What ModelConfig asks for; None where it does not, or asks for no type that is known."""
    model = section(tuning, "ModelConfig")
    return _DTYPES.get(str(model.get("torch_dtype", model.get("dtype"))).removeprefix("torch."))


def tuning_job(workspace: WorkspaceSpec, facts: Preset, setup: TuningSetup) -> TuningJob:
    """The job of a workspace without problems. Where the job has its directory is not known yet: it is empty."""
    tuning = workspace.tuning
    assert tuning is not None
    model, training = section(tuning, "ModelConfig"), section(tuning, "TrainingArguments")
    options, steps, save = tuning.preset.preset_options, training.get("max_steps"), training.get("save_steps")
    return TuningJob(
        workspace=workspace.name,
        preset=tuning.preset.name,
        weights=options.weights or facts.weights_source,
        trust_remote_code=model.get("trust_remote_code") is True,
        chat_template=model.get("chat_template"),
        method=tuning.method,
        dtype=setup.dtype,
        lora=_lora(section(tuning, "LoraConfig"), facts),
        quantization=_quantization(section(tuning, "QuantizationConfig")) if tuning.method == "qlora" else None,
        data=_data(tuning.input, section(tuning, "DatasetConfig")),
        max_length=setup.max_length,
        batch_size=setup.batch_size,
        gradient_checkpointing=setup.gradient_checkpointing,
        packing=tuning.packing if tuning.packing is not None else training.get("packing") is True,
        seed=_first(tuning.seed, training.get("seed"), DEFAULT_SEED),
        epochs=_first(training.get("num_train_epochs"), 3.0),
        max_steps=tuning.max_steps or (steps if isinstance(steps, int) and steps > 0 else None),
        devices=setup.devices,
        training={key: value for key, value in training.items() if key not in _TAKEN},
        resume=tuning.resume,
        evaluation=_evaluation(tuning),
        output=_output(tuning),
        directory="",
        planned_bytes=setup.planned_bytes,
        checkpoint_steps=save if isinstance(save, int) and save > 0 else CHECKPOINT_STEPS,
        assistant_only_loss=training.get("assistant_only_loss") is not False,
    )


def job_problems(workspace: WorkspaceSpec, facts: Preset, place: Place) -> list[Problem]:
    """Values of KAITO's sections that no job can have; `place` is where the workspace stands."""
    whatever = TuningSetup(
        dtype="bfloat16", max_length=1, batch_size=1, gradient_checkpointing=False, devices=1, planned_bytes=0
    )
    try:
        tuning_job(workspace, facts, whatever)
    except ValidationError as wrong:
        return [_problem(wrong.title, error, place.at("tuning", "config")) for error in wrong.errors(include_url=False)]
    return []


def _problem(model: str, error: ErrorDetails, config: Place) -> Problem:
    field = ".".join(str(step) for step in error["loc"])
    section, names = _SECTION_OF.get(model, ("TrainingArguments", {}))
    return config.at(section, names.get(field, field)).problem(
        found=shown(error["input"]),
        allowed=error["msg"][:1].lower() + error["msg"][1:],
        do="correct it, or leave it out",
    )


_SECTION_OF: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "LoraSettings": ("LoraConfig", {"rank": "r", "alpha": "lora_alpha", "dropout": "lora_dropout"}),
    "QuantizationSettings": (
        "QuantizationConfig",
        {"kind": "bnb_4bit_quant_type", "double": "bnb_4bit_use_double_quant"},
    ),
    "DataSettings": ("DatasetConfig", {"train_split": "train_test_split"}),
    "TuningJob": ("TrainingArguments", {"epochs": "num_train_epochs"}),
}
"""Where a field of the job stands in the config, by the job's own models."""


def _lora(lora: Mapping[str, Any], facts: Preset) -> LoraSettings:
    rest = {key: value for key, value in lora.items() if key not in _LORA and key not in ("task_type", "bias")}
    targets = lora.get("target_modules")
    return LoraSettings(
        rank=lora.get("r", DEFAULT_LORA["r"]),
        alpha=lora.get("lora_alpha", DEFAULT_LORA["lora_alpha"]),
        dropout=lora.get("lora_dropout", 0.0),
        target_modules=tuple(facts.lora_targets if targets in (None, ALL_LINEAR) else targets),
        rslora=lora.get("use_rslora") is True,
        dora=lora.get("use_dora") is True,
        arguments=rest | ({"bias": lora["bias"]} if lora.get("bias", "none") != "none" else {}),
    )


_LORA = frozenset({"r", "lora_alpha", "lora_dropout", "target_modules", "use_rslora", "use_dora"})


def _quantization(asked: Mapping[str, Any]) -> QuantizationSettings:
    """With the defaults of KAITO's qlora-params.yaml, not those of its classes, which are slower and less exact."""
    own = {"load_in_4bit", "load_in_8bit", "bnb_4bit_quant_type", "bnb_4bit_use_double_quant", "quant_method"}
    computed = {"bnb_4bit_compute_dtype"}  # is that of the job
    return QuantizationSettings(
        bits=8 if asked.get("load_in_8bit") is True else 4,
        kind=asked.get("bnb_4bit_quant_type", "nf4"),
        double=asked.get("bnb_4bit_use_double_quant", True),
        arguments={key: value for key, value in asked.items() if key not in own | computed},
    )


def _data(source: TuningDataSource, dataset: Mapping[str, Any]) -> DataSettings:
    return DataSettings(
        urls=tuple(source.urls or ()),
        image=source.image,
        directory=_directory(source.volume_source),
        dataset=source.dataset,
        checksums=tuple(FileChecksum(url=url, sha256=digest) for url, digest in sorted(source.sha256.items())),
        most_bytes=round(source.max_gib * GIB),
        allowed_hosts=tuple(source.allowed_hosts),
        messages_column=dataset.get("messages_column"),
        context_column=dataset.get("context_column"),
        response_column=dataset.get("response_column"),
        shuffle=dataset.get("shuffle_dataset", True) is not False,
        shuffle_seed=dataset.get("shuffle_seed", DEFAULT_SEED),
        train_split=dataset.get("train_test_split", 1.0),
    )


VOLUME_OF_DATA = "/mnt/data"
"""Where a pod has the volume of the training data, as in KAITO."""
VOLUME_OF_OUTPUT = "/mnt/results"


def _directory(volume: Mapping[str, Any] | None, mounted: str = VOLUME_OF_DATA) -> str | None:
    """A directory of the machine itself, or where a pod has the volume."""
    if volume is None:
        return None
    host = volume.get("hostPath")
    return str(cast("Mapping[str, Any]", host).get("path")) if isinstance(host, Mapping) else mounted


def _output(tuning: TuningSpec) -> OutputSettings:
    output = tuning.output
    if output is None:
        return OutputSettings()
    return OutputSettings(
        image=output.image, overwrite=output.overwrite, directory=_directory(output.volume_source, VOLUME_OF_OUTPUT)
    )


def _evaluation(tuning: TuningSpec) -> EvaluationSettings:
    asked = tuning.evaluation
    return EvaluationSettings(
        split=asked.split,
        most_rows=asked.max_rows,
        metrics=tuple(asked.metrics),
        gate=GateSettings.model_validate(asked.gate.model_dump()),
    )


def _first(*values: Any) -> Any:  # noqa: ANN401 - numbers of YAML, checked by the job's own model
    return next(value for value in values if value is not None)
