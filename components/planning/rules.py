"""Rules between fields and between workspaces, which no single field's type can hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from components.planning.adapter_rules import adapter_problems
from components.planning.config import InferenceConfig, InferenceSpec, PresetSpec, WorkspaceSpec
from components.planning.engine_arguments import argument_problems
from components.planning.errors import Problem
from components.planning.place import Place
from components.planning.training_values import value_problems
from components.planning.tuning_fields import tuning_only_problems
from components.planning.tuning_request import job_problems
from components.planning.tuning_rules import tuning_problems, tuning_resource_problems
from presets.catalog import Models

REPORTED_HERE = frozenset({("inference",), ("inference", "preset")})
"""Required fields whose absence either_or reports, because something else may stand in their place."""

_ADD_INFERENCE = "add inference: {preset: {name: smollm2-135m-instruct}}"


def either_or(raw: Mapping[str, Any], place: Place) -> list[Problem]:
    """What stands where only one of two fields may stand, read before types are: a wrong type must not hide it."""
    problems: list[Problem] = []
    inference, tuning = raw.get("inference"), raw.get("tuning")
    allowed = "exactly one of them: a workspace serves a model or makes an adapter"
    if inference is not None and tuning is not None:
        do = "make two workspaces of it, each with a name of its own"
        problems.append(place.problem(found="both inference and tuning", allowed=allowed, do=do))
    elif inference is None and tuning is None:
        empty = next((key for key in ("inference", "tuning") if key in raw), "")
        here, found = (place.at(empty), "nothing") if empty else (place, "neither inference nor tuning")
        do = "fill it in, or remove it" if empty else _ADD_INFERENCE
        problems.append(here.problem(found=found, allowed=allowed, do=do))
    if isinstance(inference, Mapping):
        problems += _preset_or_template(cast("Mapping[str, Any]", inference), place.at("inference"))
    return problems


def _preset_or_template(inference: Mapping[str, Any], place: Place) -> list[Problem]:
    has_preset, has_template = inference.get("preset") is not None, inference.get("template") is not None
    if has_preset != has_template:
        return []
    found = "both preset and template" if has_preset else "neither preset nor template"
    do = "remove template, or remove preset" if has_preset else "add preset: {name: smollm2-135m-instruct}"
    return [place.problem(found=found, allowed="exactly one of them", do=do)]


def between_fields(workspace: WorkspaceSpec, place: Place, models: Models) -> list[Problem]:
    """What no field of a workspace can tell alone, whatever the target."""
    problems = _partition(workspace, place)
    if inference := workspace.inference:
        problems += argument_problems(workspace, place)
        problems += adapter_problems(inference.adapters, place.at("inference", "adapters"))
        if inference.preset is not None:
            problems += _over_the_limit(inference.preset, inference.config.max_context, place, models)
            problems += _quantized_twice(workspace, inference.preset, place, models)
            problems += _no_adapters_for(workspace, inference.preset, place, models)
        problems += _beside_a_template(workspace, inference, place)
    if tuning := workspace.tuning:
        problems += tuning_only_problems(workspace, place)
        problems += tuning_problems(tuning, place.at("tuning"))
        problems += tuning_resource_problems(workspace.resource, place.at("resource"))
        not_tuned = _not_tuned(workspace, tuning.preset, place, models)
        problems += not_tuned or value_problems(tuning, place.at("tuning"), models.find(tuning.preset.name))
        if not problems:
            problems += job_problems(workspace, models.find(tuning.preset.name), place)
    return problems


def _beside_a_template(workspace: WorkspaceSpec, inference: InferenceSpec, place: Place) -> list[Problem]:
    if inference.template is None:
        return []
    given = {
        place.at("inference", "adapters"): bool(inference.adapters),
        place.at("inference", "config"): inference.config != InferenceConfig(),
        place.at("engine"): workspace.engine is not None,
        place.at("replicas"): workspace.replicas is not None and workspace.resource.count is not None,
    }
    allowed = "the pod template alone: what runs in it is its own affair, and resource.count is its number of nodes"
    return [
        here.problem(found=f"{here.path.rpartition('.')[2]} beside a template", allowed=allowed, do="remove it")
        for here, is_given in given.items()
        if is_given
    ]


def _over_the_limit(preset: PresetSpec, asked: int | None, place: Place, models: Models) -> list[Problem]:
    limit = models.find(preset.name).max_context
    if asked is None or asked <= limit:
        return []
    return [
        place.at("inference", "config", "maxContext").problem(
            found=f"{asked} tokens",
            allowed=f"at most {limit} tokens, the limit of {preset.name}",
            do=f"write {limit} or less, or choose a preset with a longer context",
        )
    ]


def _quantized_twice(workspace: WorkspaceSpec, preset: PresetSpec, place: Place, models: Models) -> list[Problem]:
    asked = workspace.inference.config.quantization if workspace.inference else None
    published = models.find(preset.name).quantization
    if asked is None or published is None:
        return []
    return [
        place.at("inference", "config", "quantization").problem(
            found=f"{asked} for {preset.name}",
            allowed=f"nothing: its weights are published in {published.method} ({published.bits} bits)",
            do="leave quantization out",
        )
    ]


def _no_adapters_for(workspace: WorkspaceSpec, preset: PresetSpec, place: Place, models: Models) -> list[Problem]:
    adapters = workspace.inference.adapters if workspace.inference else []
    if not adapters or models.find(preset.name).lora_targets:
        return []
    return [
        place.at("inference", "adapters").problem(
            found=f"{len(adapters)} for {preset.name}",
            allowed="none: which of its layers adapters change is not known here",
            do="choose a preset with LoRA targets in docs/configuration.md, or merge the adapter into the weights",
        )
    ]


def _not_tuned(workspace: WorkspaceSpec, preset: PresetSpec, place: Place, models: Models) -> list[Problem]:
    assert workspace.tuning is not None
    methods = models.find(preset.name).tuning
    if workspace.tuning.method in methods:
        return []
    can = f"only {', '.join(methods)}" if methods else "no tuning is supported"
    return [
        place.at("tuning", "preset", "name").problem(
            found=f"{workspace.tuning.method} of {preset.name}",
            allowed=f"a preset that can be tuned so; for this one {can}",
            do="choose another preset, for example phi-3-mini-4k-instruct",
        )
    ]


def _partition(workspace: WorkspaceSpec, place: Place) -> list[Problem]:
    partition = workspace.resource.partition
    if partition is None or workspace.tuning is not None:
        return []
    here = place.at("resource", "partition")
    needed, other = ("profile", "count") if partition.mode == "mig" else ("count", "profile")
    problems: list[Problem] = []
    if getattr(partition, needed) is None:
        problems.append(
            here.problem(
                found=f"mode {partition.mode} without {needed}",
                allowed=f"{needed} is required with mode {partition.mode}",
                do="add profile: 1g.10gb" if needed == "profile" else "add count: 1",
            )
        )
    if getattr(partition, other) is not None:
        problems.append(
            here.at(other).problem(
                found=f"{other} with mode {partition.mode}", allowed=f"{needed} alone", do=f"remove {other}"
            )
        )
    return problems


def same_names(items: Sequence[tuple[Place, object]]) -> list[Problem]:
    """Workspaces that are called like one before them."""
    problems: list[Problem] = []
    first: dict[str, Place] = {}
    for here, _ in items:
        if here.workspace and first.setdefault(here.workspace, here) is not here:
            problems.append(
                here.at("name").problem(
                    found=f'"{here.workspace}", which is also the name of {first[here.workspace].short()}',
                    allowed="a name of its own for each workspace",
                    do=f"rename one, for example {here.workspace}-2",
                )
            )
    return problems


def place_of(item: object, index: int) -> Place:
    """Where a workspace stands, with its name if it has one that can be read."""
    name = cast("Mapping[str, object]", item).get("name") if isinstance(item, Mapping) else None
    return Place(f"modelyard:workspaces[{index}]", name if isinstance(name, str) else "")
