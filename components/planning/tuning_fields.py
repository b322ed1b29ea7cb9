"""Fields of a tuning workspace that only serving has a use for, and keys of its config that the plan does not count."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from components.planning.config import TuningSpec, WorkspaceSpec
from components.planning.errors import Problem
from components.planning.place import Place, shown
from components.planning.tuning_config import DEFAULT_LORA

COUNTED: Mapping[str, frozenset[str]] = {
    "LoraConfig": frozenset({"r", "target_modules"}),
    "QuantizationConfig": frozenset({"load_in_4bit", "load_in_8bit"}),
    "TrainingArguments": frozenset(
        {"max_length", "max_seq_length", "per_device_train_batch_size", "gradient_checkpointing"}
    ),
}
"""What components.planning.training_values reads of tuning.config, by section."""


def tuning_only_problems(workspace: WorkspaceSpec, place: Place) -> list[Problem]:
    """What a workspace that makes an adapter may not ask for, because nothing is served."""
    if workspace.tuning is None:
        return []
    fields = {
        "replicas": (workspace.replicas, "a tuning job runs once, on one node"),
        "engine": (workspace.engine, "no engine generates tokens in a tuning job"),
        "loadBalancer": (workspace.load_balancer or None, "a tuning job has no endpoint"),
    }
    return [
        place.at(field).problem(
            found=shown(value),
            allowed=f"nothing: {reason}",
            do=f"remove {field}; it belongs in the workspace that serves the adapter",
        )
        for field, (value, reason) in fields.items()
        if value is not None
    ]


def uncounted_keys(tuning: TuningSpec) -> list[str]:
    """Keys of tuning.config that the planned memory does not depend on, as SECTION.KEY; not those that have the value
    that KAITO gives them anyway."""
    return [
        f"{name}.{key}"
        for name, section in tuning.config.items()
        if isinstance(section, Mapping)
        for key, value in cast("Mapping[str, Any]", section).items()
        if key not in COUNTED.get(name, frozenset()) and not (name == "LoraConfig" and DEFAULT_LORA.get(key) == value)
    ]
