"""From plain values, as they stand in the stack file, to a Spec, or to everything that is wrong with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, cast, get_args

from pydantic import ValidationError
from pydantic.alias_generators import to_snake

from components.planning.api_keys import ApiKeys, read_api_keys
from components.planning.cluster_config import KubernetesSpec
from components.planning.config import PricesSpec, RaySpec, Target, WorkspaceSpec
from components.planning.config_model import ConfigModel
from components.planning.errors import Problem, SpecError
from components.planning.explain import explain
from components.planning.fields import MODELS
from components.planning.kaito.read import ManifestFile, Manifests, read_manifests
from components.planning.local_rules import not_on_this_machine
from components.planning.place import Place, shown
from components.planning.rules import REPORTED_HERE, between_fields, either_or, place_of, same_names
from components.planning.stand_ins import hosts_of, stand_in_warnings, stood_in, with_addresses
from components.planning.stand_ins_config import StandInsSpec
from components.planning.tuned_adapters import tuned_problems
from presets.catalog import Models
from presets.nearest import nearest
from presets.price import PriceFileError, Prices, list_prices

KEYS = ("target", "workspaces", "manifests", "region", "kubernetes", "prices", "ray", "apiKeys", "standIns")
"""Keys of the stack's config in the namespace modelyard."""

DEFAULT_REGION = "eastus"

_Model = TypeVar("_Model", bound=ConfigModel)


@dataclass(frozen=True, kw_only=True)
class RawConfig:
    """Values as YAML or JSON gives them; None where a key is not set. `other`: further keys of the namespace."""

    target: object = None
    workspaces: object = None
    manifests: object = None
    region: object = None
    kubernetes: object = None
    prices: object = None
    ray: object = None
    api_keys: object = None
    stand_ins: object = None
    other: tuple[str, ...] = ()
    secrets: frozenset[str] = frozenset()
    """Keys whose values Pulumi keeps encrypted."""


NAMESPACE = "modelyard:"


def namespaced(values: Mapping[str, object]) -> dict[str, object]:
    """The values of the project's namespace, by their keys without it."""
    return {key.removeprefix(NAMESPACE): value for key, value in values.items() if key.startswith(NAMESPACE)}


def raw_config(values: Mapping[str, object], secrets: Iterable[str] = ()) -> RawConfig:
    """A config from its values by key, without the namespace in front of the keys. secrets: those kept encrypted."""
    known: dict[str, Any] = {to_snake(key): values[key] for key in KEYS if key in values}
    return RawConfig(**known, other=tuple(sorted(values.keys() - set(KEYS))), secrets=frozenset(secrets))


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What a config refers to, read by the caller: parsing itself touches nothing."""

    manifests: Mapping[str, tuple[ManifestFile, ...]] = field(default_factory=dict[str, tuple[ManifestFile, ...]])
    """The files that each entry of modelyard:manifests names, by that entry."""
    price_file: object = None
    """The content of modelyard:prices.file."""
    price_file_error: str = ""
    """Why it could not be read."""
    models: Models = field(default_factory=Models)


@dataclass(frozen=True, kw_only=True)
class Spec:
    """A stack's config, parsed and checked. Workspaces are in the order of the file, where problems point to."""

    stack_file: str
    target: Target
    workspaces: tuple[WorkspaceSpec, ...]
    places: tuple[Place, ...]
    """Where each workspace stands."""
    given: frozenset[str]
    """Keys of the config that have a value."""
    lists_workspaces: bool
    """Whether the config says which workspaces there are, be it none."""
    ray: RaySpec
    kubernetes: KubernetesSpec
    region: str
    prices: Prices
    models: Models
    api_keys: ApiKeys
    warnings: tuple[str, ...]


def parse_spec(raw: RawConfig, *, stack_file: str, around: Surroundings | None = None) -> Spec:
    """The config, checked. Raises SpecError with every problem that can be found without knowing the machine."""
    spec, problems = read_spec(raw, stack_file=stack_file, around=around)
    if problems:
        raise SpecError(problems, stack_file)
    return spec


def read_spec(raw: RawConfig, *, stack_file: str, around: Surroundings | None = None) -> tuple[Spec, list[Problem]]:
    """What of the config can be understood, and everything that is wrong with the rest."""
    around = around or Surroundings()
    problems: list[Problem] = []
    target = _target(raw.target, problems)
    kubernetes = _part(raw.kubernetes, KubernetesSpec, "modelyard:kubernetes", problems)
    stand_ins = _part(raw.stand_ins, StandInsSpec, "modelyard:standIns", problems, around.models)
    items = _items(with_addresses(raw.workspaces, stand_ins.addresses), problems)
    manifests = _manifests(raw.manifests, around, kubernetes, problems, stand_ins)
    items += [(each.place, each.raw) for each in manifests.workspaces]
    parsed = [(place, _workspace(item, place, target, around.models, stand_ins)) for place, item in items]
    problems += [problem for _, (_, found) in parsed for problem in found]
    problems += same_names(items)
    region = _region(raw.region, problems)
    prices = _prices(raw.prices, region, around, problems)
    ray = _part(raw.ray, RaySpec, "modelyard:ray", problems)
    names = [place.workspace for place, _ in items]
    api_keys = read_api_keys(raw.api_keys, names, problems, secret="apiKeys" in raw.secrets)
    problems += [_unknown_key(key) for key in sorted(raw.other)]
    known = [(place, workspace) for place, (workspace, found) in parsed if workspace is not None and not found]
    unmade = tuned_problems([workspace for _, workspace in known], [place for place, _ in known])
    known = [pair for pair in known if pair[1].name not in {problem.workspace for problem in unmade}]
    problems += unmade
    if raw.target is not None and raw.target not in get_args(Target):
        known = []  # what they need depends on where they are
    spec = Spec(
        stack_file=stack_file,
        target=target,
        workspaces=tuple(workspace for _, workspace in known),
        places=tuple(place for place, _ in known),
        given=frozenset(key for key in KEYS if getattr(raw, to_snake(key)) is not None),
        lists_workspaces=raw.workspaces is not None or raw.manifests is not None,
        ray=ray,
        kubernetes=kubernetes,
        region=region,
        prices=prices,
        models=around.models,
        api_keys=api_keys,
        warnings=(*stand_in_warnings(stand_ins, [each for _, each in known]), *manifests.warnings),
    )
    return spec, problems


def _target(raw: object, problems: list[Problem]) -> Target:
    targets = get_args(Target)
    if raw is None:
        return "local"
    if raw in targets:
        return cast("Target", raw)
    likely = nearest(raw, targets, limit=1) if isinstance(raw, str) else ()
    do = f"write {likely[0]}" if likely else "write local, or leave it out"
    problems.append(Place("modelyard:target").problem(found=shown(raw), allowed=f"one of {', '.join(targets)}", do=do))
    return "local"


def _items(raw: object, problems: list[Problem]) -> list[tuple[Place, object]]:
    """What stands in modelyard:workspaces, each with its place."""
    if raw is None:
        return []
    if not isinstance(raw, list):
        do = 'put "- " in front of each workspace\'s name, its other fields indented below it'
        problems.append(Place("modelyard:workspaces").problem(found=shown(raw), allowed="a list of workspaces", do=do))
        return []
    return [(place_of(item, index), item) for index, item in enumerate(cast("list[object]", raw))]


def _manifests(
    raw: object,
    around: Surroundings,
    kubernetes: KubernetesSpec,
    problems: list[Problem],
    stand_ins: StandInsSpec,
) -> Manifests:
    place = Place("modelyard:manifests")
    patterns = cast("list[object]", raw) if isinstance(raw, list) else []
    if raw is not None and not isinstance(raw, list):
        do = f"write it as a list: manifests: [{raw}]" if isinstance(raw, str) else "write a list of files"
        problems.append(place.problem(found=shown(raw), allowed="a list of YAML files or globs", do=do))
    files: dict[str, ManifestFile] = {}
    for index, pattern in enumerate(patterns):
        found = around.manifests.get(pattern, ()) if isinstance(pattern, str) else ()
        if not found:
            problems.append(
                place.at(index).problem(
                    found=f"{shown(pattern)}, which names no file that can be read",
                    allowed="a YAML file, or a glob such as manifests/*.yaml, relative to the stack's file",
                    do="correct the path, or remove it",
                )
            )
        files |= {file.path: file for file in found}
    if not files:
        return Manifests(workspaces=(), problems=(), warnings=())
    ordered = [
        replace(files[path], text=with_addresses(files[path].text, stand_ins.addresses)) for path in sorted(files)
    ]
    read = read_manifests(
        ordered,
        existing_nodes=kubernetes.nodes == "existing",
        models=around.models,
        allowed_hosts=hosts_of(stand_ins.addresses),
    )
    problems += read.problems
    return read


def _workspace(
    raw: object, place: Place, target: Target, models: Models, stand_ins: StandInsSpec
) -> tuple[WorkspaceSpec | None, list[Problem]]:
    """The workspace as far as it can be read, and what is wrong with it: one that has a problem is not planned."""
    problems = either_or(cast("Mapping[str, Any]", raw), place) if isinstance(raw, Mapping) else []
    try:
        workspace = WorkspaceSpec.model_validate(raw, context={MODELS: models})
    except ValidationError as error:
        return None, problems + explain(error, WorkspaceSpec, place, skip=REPORTED_HERE)
    workspace = stood_in(workspace, stand_ins)
    problems += between_fields(workspace, place, models)
    if target == "local":
        problems += not_on_this_machine(workspace, place, models)
    return workspace, problems


def _region(raw: object, problems: list[Problem]) -> str:
    if raw is None:
        return DEFAULT_REGION
    if isinstance(raw, str) and raw.isalnum():
        return raw.lower()
    problems.append(
        Place("modelyard:region").problem(
            found=shown(raw), allowed="a region of the cloud by its short name", do="write for example westeurope"
        )
    )
    return DEFAULT_REGION


def _prices(raw: object, region: str, around: Surroundings, problems: list[Problem]) -> Prices:
    place = Place("modelyard:prices")
    spec = _part(raw, PricesSpec, place.path, problems)
    own = around.price_file
    if spec.file is not None and around.price_file_error:
        problems.append(
            place.at("file").problem(
                found=f"{shown(spec.file)}: {around.price_file_error}",
                allowed="a YAML file, relative to the stack's file",
                do="correct the path or the file",
            )
        )
        own = None
    try:
        return list_prices(
            region,
            factor=spec.region_factor,
            own=cast("Mapping[str, object] | None", own),
            own_name=spec.file or "",
        )
    except PriceFileError as wrong:
        for each in wrong.problems:
            at = Place(f"{spec.file}: {each.path}" if each.path else f"{spec.file}")
            problems.append(at.problem(found=each.found, allowed=each.allowed, do=each.do))
        return list_prices(region)


def _part(raw: object, model: type[_Model], path: str, problems: list[Problem], models: Models | None = None) -> _Model:
    """One of the config's smaller maps; its defaults where it is absent or wrong."""
    if raw is None:
        return model()
    try:
        return model.model_validate(raw, context={MODELS: models} if models is not None else None)
    except ValidationError as error:
        problems += explain(error, model, Place(path), skip=frozenset())
        return model()


def _unknown_key(key: str) -> Problem:
    likely = nearest(key, KEYS, limit=1)
    return Place(f"modelyard:{key}").problem(
        found=f"unknown key modelyard:{key}",
        allowed=", ".join(f"modelyard:{known}" for known in KEYS),
        do=f"did you mean modelyard:{likely[0]}? Otherwise remove it" if likely else "remove it",
    )
