"""A stack's workspaces as they are tried: with another model, and other addresses, than they name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

from components.planning.config import InferenceSpec, PresetOptions, PresetSpec, TuningSpec, WorkspaceSpec
from components.planning.stand_ins_config import StandInModel, StandInsSpec

_Value = TypeVar("_Value")
_OF_ANOTHER_MODEL = ("target_modules",)
"""Of LoraConfig: names of one model's layers."""


def with_addresses(value: _Value, addresses: Mapping[str, str]) -> _Value:
    """A value of YAML in which texts have others in their place; the longest goes first.

    >>> with_addresses({"urls": ["https://hub/a"]}, {"https://hub": "http://localhost:8000"})
    {'urls': ['http://localhost:8000/a']}
    """
    if isinstance(value, str):
        text: str = value
        for old in sorted(addresses, key=len, reverse=True):
            text = text.replace(old, addresses[old])
        return cast("_Value", text)
    if isinstance(value, list):
        return cast("_Value", [with_addresses(item, addresses) for item in cast("list[Any]", value)])
    if isinstance(value, Mapping):
        pairs = cast("Mapping[Any, Any]", value).items()
        return cast("_Value", {key: with_addresses(item, addresses) for key, item in pairs})
    return value


def hosts_of(addresses: Mapping[str, str]) -> frozenset[str]:
    """Of the URLs that stand in for others: data may come from them, also where they are inside."""
    named = (urlsplit(new).hostname for new in addresses.values() if "://" in new)
    return frozenset(host for host in named if host)


def stood_in(workspace: WorkspaceSpec, spec: StandInsSpec) -> WorkspaceSpec:
    """The workspace with the model that stands in for its own; a pod template of the user's stays as it is."""
    if workspace.tuning is not None and (hosts := hosts_of(spec.addresses)):
        source = workspace.tuning.input
        allowed = source.model_copy(update={"allowed_hosts": sorted({*source.allowed_hosts, *hosts})})
        tuning = workspace.tuning.model_copy(update={"input": allowed})
        workspace = workspace.model_copy(update={"tuning": tuning})
    return workspace if spec.model is None else _with_model(workspace, spec.model)


def _with_model(workspace: WorkspaceSpec, model: StandInModel) -> WorkspaceSpec:
    preset = PresetSpec.model_construct(
        name=model.preset, preset_options=PresetOptions.model_construct(weights=model.weights)
    )
    if workspace.inference is not None and workspace.inference.preset is not None:
        changes: dict[str, Any] = {"inference": _inference(workspace.inference, model, preset)}
        if model.engine is not None:
            changes["engine"] = model.engine
        return workspace.model_copy(update=changes)
    if workspace.tuning is not None:
        return workspace.model_copy(update={"tuning": _tuning(workspace.tuning, preset)})
    return workspace


def _inference(inference: InferenceSpec, model: StandInModel, preset: PresetSpec) -> InferenceSpec:
    # Arguments of vLLM, types and quantization are meant for the model that is not there.
    changes: dict[str, Any] = {"vllm": {}, "dtype": None, "quantization": None}
    if model.max_context is not None:
        changes["max_context"] = model.max_context
    if model.max_sequences is not None:
        changes["max_sequences"] = model.max_sequences
    return inference.model_copy(update={"preset": preset, "config": inference.config.model_copy(update=changes)})


def _tuning(tuning: TuningSpec, preset: PresetSpec) -> TuningSpec:
    lora = tuning.config.get("LoraConfig")
    if not isinstance(lora, Mapping):
        return tuning.model_copy(update={"preset": preset})
    kept = {key: value for key, value in cast("Mapping[str, Any]", lora).items() if key not in _OF_ANOTHER_MODEL}
    return tuning.model_copy(update={"preset": preset, "config": {**tuning.config, "LoraConfig": kept}})


def stand_in_warnings(spec: StandInsSpec, workspaces: Iterable[WorkspaceSpec]) -> list[str]:
    """Sentences that nobody can overlook: what is made is not what the workspaces say."""
    names = sorted(each.name for each in workspaces if each.tuning or (each.inference and each.inference.preset))
    warnings: list[str] = []
    if spec.model is not None and names:
        warnings.append(
            f"modelyard:standIns: {spec.model.preset} stands in for the models of {', '.join(names)}; remove it for "
            "the real ones"
        )
    if spec.addresses:
        replaced = ", ".join(f"{new} for {old}" for old, new in sorted(spec.addresses.items()))
        warnings.append(f"modelyard:standIns: {replaced}, in all workspaces and manifests")
    return warnings
