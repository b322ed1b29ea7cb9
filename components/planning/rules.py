"""Rules between fields and between workspaces, which no single field's type can hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from components.planning.config import WorkspaceSpec
from components.planning.errors import Problem
from components.planning.place import Place
from presets.catalog import Preset, find_preset

REPORTED_HERE = frozenset({("inference",), ("inference", "preset")})
"""Required fields whose absence either_or reports, because something else may stand in their place."""


def either_or(raw: Mapping[str, Any], place: Place) -> list[Problem]:
    """What stands where only one of two fields may stand, read before types are: a wrong type must not hide it."""
    problems: list[Problem] = []
    inference, tuning = raw.get("inference"), raw.get("tuning")
    if inference is not None and tuning is not None:
        problems.append(
            place.problem(
                found="both inference and tuning",
                allowed="exactly one of them; tuning is not in this version",
                do="remove tuning",
            )
        )
    elif tuning is not None:
        problems.append(
            place.at("tuning").problem(
                found="a tuning workspace",
                allowed="inference: tuning is not in this version",
                do="remove this workspace, or serve a preset in its place",
            )
        )
    elif "inference" not in raw:
        problems.append(
            place.problem(
                found="neither inference nor tuning",
                allowed="exactly one of them; tuning is not in this version",
                do="add inference: {preset: {name: smollm2-135m-instruct}}",
            )
        )
    if isinstance(inference, Mapping):
        problems += _preset_or_template(cast("Mapping[str, Any]", inference), place.at("inference"))
    return problems


def _preset_or_template(inference: Mapping[str, Any], place: Place) -> list[Problem]:
    has_preset, has_template = "preset" in inference, inference.get("template") is not None
    if has_preset and not has_template:
        return []
    if has_preset:
        found, do = "both preset and template", "remove template"
    elif has_template:
        found, do = "template", "remove template and name a preset"
    else:
        found, do = "neither preset nor template", "add preset: {name: smollm2-135m-instruct}"
    allowed = "exactly one of them; template is not in this version"
    return [place.problem(found=found, allowed=allowed, do=do)]


def context_limit(preset: Preset) -> int:
    """Tokens that the engine of this version gives one sequence of a preset at most.

    transformers picks the factors of longrope by the longest sequence of a batch, so that a long one would change what
    its neighbours say: the engine refuses to go there.
    """
    return min(preset.max_context, preset.longrope_from or preset.max_context)


def over_the_limit(workspace: WorkspaceSpec, place: Place) -> list[Problem]:
    """A context that the preset, or the engine with this preset, does not have."""
    name, asked = workspace.inference.preset.name, workspace.inference.config.max_context
    preset = find_preset(name)
    limit = context_limit(preset)
    if asked is None or asked <= limit:
        return []
    reason = f"the limit of {name}"
    if limit < preset.max_context:
        reason = f"above which the rotary factors of {name} would change for all sequences of a batch (longrope)"
    return [
        place.at("inference", "config", "maxContext").problem(
            found=f"{asked} tokens",
            allowed=f"at most {limit} tokens, {reason}",
            do=f"write {limit} or less, or choose a preset with a longer context",
        )
    ]


def same_names(items: Sequence[object]) -> list[Problem]:
    """Workspaces that are called like one before them."""
    problems: list[Problem] = []
    first: dict[str, int] = {}
    for index, item in enumerate(items):
        here = place_of(item, index)
        if here.workspace and first.setdefault(here.workspace, index) != index:
            problems.append(
                here.at("name").problem(
                    found=f'"{here.workspace}", which is also the name of workspaces[{first[here.workspace]}]',
                    allowed="a name of its own for each workspace",
                    do=f"rename one, for example {here.workspace}-2",
                )
            )
    return problems


def place_of(item: object, index: int) -> Place:
    """Where a workspace stands, with its name if it has one that can be read."""
    name = cast("Mapping[str, object]", item).get("name") if isinstance(item, Mapping) else None
    return Place(f"modelyard:workspaces[{index}]", name if isinstance(name, str) else "")
