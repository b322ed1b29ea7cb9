"""What a workspace asks of its nodes, in the words of the arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from components.planning.config import WorkspaceSpec
from components.planning.fields import UTILIZATION
from components.planning.spec import Spec
from presets.placement import Demand
from presets.tuning_placement import KAITO_RANK, TuningDemand


def demand_of(workspace: WorkspaceSpec, spec: Spec) -> Demand:
    """Of a workspace that serves a preset."""
    inference = workspace.inference
    assert inference is not None
    assert inference.preset is not None
    config = inference.config
    share = config.vllm.get(UTILIZATION)
    return Demand(
        preset=spec.models.find(inference.preset.name),
        context=config.max_context,
        sequences=config.max_sequences,
        engine=workspace.engine,
        dtype=config.dtype,
        quantization=config.quantization,
        adapter_ranks=tuple(sorted(adapter.rank for adapter in inference.adapters)),
        replicas=workspace.replicas,
        nodes=workspace.resource.count,
        utilization=float(share) if isinstance(share, int | float) else None,
    )


def tuning_demand_of(workspace: WorkspaceSpec, spec: Spec) -> TuningDemand:
    """Of a workspace that makes an adapter; keys of KAITO's training_config.yaml that memory follows from."""
    tuning = workspace.tuning
    assert tuning is not None
    lora = _section(tuning.config, "LoraConfig")
    training = _section(tuning.config, "TrainingArguments")
    targets = lora.get("target_modules")
    length = training.get("max_length", training.get("max_seq_length"))
    checkpointing = training.get("gradient_checkpointing")
    return TuningDemand(
        preset=spec.models.find(tuning.preset.name),
        method=tuning.method,
        rank=_whole(lora.get("r"), KAITO_RANK),
        targets=tuple(cast("list[str]", targets)) if isinstance(targets, list) else (),
        sequence_length=_whole(length, 0) or None,
        batch_size=_whole(training.get("per_device_train_batch_size"), 1),
        gradient_checkpointing=checkpointing if isinstance(checkpointing, bool) else None,
    )


def _section(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = config.get(name)
    return cast("Mapping[str, Any]", section) if isinstance(section, Mapping) else {}


def _whole(value: object, otherwise: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else otherwise
