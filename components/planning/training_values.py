"""Values of a tuning's config that its memory follows from: read as numbers, or refused, never guessed at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from components.planning.config import TuningSpec
from components.planning.errors import Problem
from components.planning.place import Place, shown
from presets.catalog import Preset
from presets.lora import lora_parameters
from presets.serve_config import MOST_RANK
from presets.tuning_placement import KAITO_RANK, TuningDemand

ALL_LINEAR = "all-linear"
"""peft's word for every linear layer; here the preset's targets."""


def tuning_demand(tuning: TuningSpec, preset: Preset) -> TuningDemand:
    """Of a tuning without problems, with the defaults of KAITO's training_config.yaml and of trl's SFTConfig."""
    lora, training = section(tuning, "LoraConfig"), section(tuning, "TrainingArguments")
    targets = lora.get("target_modules")
    return TuningDemand(
        preset=preset,
        method=tuning.method,
        rank=lora.get("r", KAITO_RANK),
        targets=tuple(cast("list[str]", targets)) if isinstance(targets, list) else (),
        weight_bits=8 if section(tuning, "QuantizationConfig").get("load_in_8bit") else 4,
        sequence_length=training.get(_length_key(training)),
        batch_size=training.get("per_device_train_batch_size", 1),
        gradient_checkpointing=training.get("gradient_checkpointing"),
    )


def value_problems(tuning: TuningSpec, place: Place, preset: Preset) -> list[Problem]:
    """What is wrong with them. `place` is where tuning stands."""
    here = place.at("config")
    lora, training = section(tuning, "LoraConfig"), section(tuning, "TrainingArguments")
    key = _length_key(training)
    checks = (
        _number(lora.get("r"), here.at("LoraConfig", "r"), MOST_RANK),
        _targets(lora.get("target_modules"), here.at("LoraConfig", "target_modules"), preset),
        _number(training.get(key), here.at("TrainingArguments", key), preset.max_context),
        _number(
            training.get("per_device_train_batch_size"),
            here.at("TrainingArguments", "per_device_train_batch_size"),
            None,
        ),
        _boolean(training.get("gradient_checkpointing"), here.at("TrainingArguments", "gradient_checkpointing")),
    )
    return [problem for problem in checks if problem]


def section(tuning: TuningSpec, name: str) -> Mapping[str, Any]:
    """One of KAITO's sections of a tuning's config; empty where it is absent."""
    found = tuning.config.get(name)
    return cast("Mapping[str, Any]", found) if isinstance(found, Mapping) else {}


def _length_key(training: Mapping[str, Any]) -> str:
    """trl called it otherwise once."""
    return "max_seq_length" if "max_seq_length" in training and "max_length" not in training else "max_length"


def _number(value: object, here: Place, most: int | None) -> Problem | None:
    if value is None or (
        isinstance(value, int) and not isinstance(value, bool) and value >= 1 and (most is None or value <= most)
    ):
        return None
    bound = "of at least 1" if most is None else f"from 1 to {most}"
    return here.problem(found=shown(value), allowed=f"a whole number {bound}", do="correct it, without quotes")


def _boolean(value: object, here: Place) -> Problem | None:
    if value is None or isinstance(value, bool):
        return None
    return here.problem(found=shown(value), allowed="true or false", do="write true, or leave it out: it is chosen")


def _targets(value: object, here: Place, preset: Preset) -> Problem | None:
    if value is None or value == ALL_LINEAR:
        return None
    usual = ", ".join(preset.lora_targets)
    names = cast("list[object]", value) if isinstance(value, list) else []
    if not names or not all(isinstance(name, str) for name in names):
        return here.problem(
            found=shown(cast("object", value)), allowed="a list of modules' names", do=f"write [{usual}]"
        )
    try:
        lora_parameters(preset.shape, cast("list[str]", names), 1)
    except ValueError as wrong:
        return here.problem(found=", ".join(map(str, names)), allowed=str(wrong), do=f"write [{usual}]")
    return None
