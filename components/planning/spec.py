"""From plain values, as they stand in the stack file, to a Spec, or to everything that is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast, get_args

from pydantic import ValidationError

from components.planning.config import RaySpec, Target, WorkspaceSpec
from components.planning.errors import Problem, SpecError
from components.planning.explain import explain
from components.planning.place import Place, shown
from components.planning.rules import REPORTED_HERE, either_or, over_the_limit, place_of, same_names
from presets.nearest import nearest

KEYS = ("target", "workspaces", "ray")
"""Keys of the stack's config in the namespace modelyard."""


@dataclass(frozen=True, kw_only=True)
class RawConfig:
    """Values as YAML or JSON gives them; None where a key is not set. `other`: further keys of the namespace."""

    target: object = None
    workspaces: object = None
    ray: object = None
    other: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Spec:
    """A stack's config, parsed and checked. Workspaces are in the order of the file, where problems point to."""

    stack_file: str
    target: Target
    workspaces: tuple[WorkspaceSpec, ...]
    ray: RaySpec


def parse_spec(raw: RawConfig, *, stack_file: str) -> Spec:
    """The config, checked. Raises SpecError with every problem that can be found without knowing the machine."""
    problems: list[Problem] = []
    target = _target(raw.target, problems)
    workspaces = _workspaces(raw.workspaces, problems)
    ray = _ray(raw.ray, problems)
    problems += [_unknown_key(key) for key in sorted(raw.other)]
    if problems:
        raise SpecError(problems, stack_file)
    return Spec(stack_file=stack_file, target=target, workspaces=tuple(workspaces), ray=ray)


def _target(raw: object, problems: list[Problem]) -> Target:
    place = Place("modelyard:target")
    targets = get_args(Target)
    if raw is None or raw == "local":
        return "local"
    if raw in targets:
        problems.append(
            place.problem(
                found=str(raw), allowed=f"local: {raw} is not in this version", do="write local, or leave it out"
            )
        )
    else:
        likely = nearest(raw, targets, limit=1) if isinstance(raw, str) else ()
        do = f"write {likely[0]}" if likely else "write local, or leave it out"
        problems.append(place.problem(found=shown(raw), allowed=f"one of {', '.join(targets)}", do=do))
    return "local"


def _workspaces(raw: object, problems: list[Problem]) -> list[WorkspaceSpec]:
    place = Place("modelyard:workspaces")
    if raw is None:
        return []
    if not isinstance(raw, list):
        do = 'put "- " in front of each workspace\'s name, its other fields indented below it'
        problems.append(place.problem(found=shown(raw), allowed="a list of workspaces", do=do))
        return []
    items = cast("list[object]", raw)
    parsed = [_workspace(item, place_of(item, index), problems) for index, item in enumerate(items)]
    problems += same_names(items)
    return [workspace for workspace in parsed if workspace is not None]


def _workspace(raw: object, place: Place, problems: list[Problem]) -> WorkspaceSpec | None:
    if isinstance(raw, Mapping):
        problems += either_or(cast("Mapping[str, Any]", raw), place)
    try:
        workspace = WorkspaceSpec.model_validate(raw)
    except ValidationError as error:
        problems += explain(error, WorkspaceSpec, place, skip=REPORTED_HERE)
        return None
    problems += over_the_limit(workspace, place)
    return workspace


def _ray(raw: object, problems: list[Problem]) -> RaySpec:
    if raw is None:
        return RaySpec()
    try:
        return RaySpec.model_validate(raw)
    except ValidationError as error:
        problems += explain(error, RaySpec, Place("modelyard:ray"), skip=frozenset())
        return RaySpec()


def _unknown_key(key: str) -> Problem:
    likely = nearest(key, KEYS, limit=1)
    return Place(f"modelyard:{key}").problem(
        found=f"unknown key modelyard:{key}",
        allowed=", ".join(f"modelyard:{known}" for known in KEYS),
        do=f"did you mean modelyard:{likely[0]}? Otherwise remove it" if likely else "remove it",
    )
