"""The stack's API keys, read and checked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from pydantic import ValidationError

from components.planning.config import ApiKeySpec
from components.planning.errors import Problem
from components.planning.explain import explain
from components.planning.key_fields import MAKE_ONE, SET_IT, UNREAD_HASH, kind_of
from components.planning.place import Place
from presets.nearest import nearest
from presets.serve_config import ApiKey

KEY = "modelyard:apiKeys"


@dataclass(frozen=True, kw_only=True)
class ApiKeys:
    """By name, so that their order in the file changes nothing."""

    settings: tuple[ApiKey, ...] = ()
    plain: tuple[str, ...] = ()
    """Names of those whose key stands in the file as it is."""

    @property
    def unread(self) -> list[str]:
        """Names of those whose key cannot be read here."""
        return [key.name for key in self.settings if key.sha256 == UNREAD_HASH]


def read_api_keys(raw: object, workspaces: Iterable[str], problems: list[Problem], *, secret: bool = False) -> ApiKeys:
    """The keys that can be understood; `problems` gets what is wrong with the others.

    workspaces: their names, also of those that are wrong. secret: whether Pulumi keeps the keys encrypted.
    """
    if raw is None:
        return ApiKeys()
    if not isinstance(raw, list):
        found = kind_of(raw)
        do = 'write a list: put "- " in front of each key\'s name, its other fields indented below it'
        problems.append(Place(KEY).problem(found=found, allowed="a list of keys", do=do))
        return ApiKeys()
    known = sorted(set(workspaces))
    read: list[tuple[Place, ApiKeySpec]] = []
    for index, item in enumerate(cast("list[object]", raw)):
        place = Place(f"{KEY}[{index}]")
        spec, found = _read(item, place)
        problems += found
        if spec is not None:
            problems += _unknown_models(spec, place, known)
            read.append((place, spec))
    problems += _twice(read)
    return ApiKeys(
        settings=tuple(sorted((_settings(spec) for _, spec in read), key=lambda key: key.name)),
        plain=() if secret else tuple(spec.name for _, spec in read if spec.key not in (None, UNREAD_HASH)),
    )


def _read(item: object, place: Place) -> tuple[ApiKeySpec | None, list[Problem]]:
    if not isinstance(item, Mapping):
        # Its value is not shown: it is probably the key.
        allowed, do = "a map with name, and key or sha256", "write its name and its key: {name: team-a, key: ...}"
        return None, [place.problem(found=kind_of(item), allowed=allowed, do=do)]
    try:
        spec = ApiKeySpec.model_validate(item)
    except ValidationError as error:
        return None, explain(error, ApiKeySpec, place, skip=frozenset())
    if (spec.key is None) == (spec.sha256 is None):
        found = "neither key nor sha256" if spec.key is None else "both key and sha256"
        do = f"{MAKE_ONE}, and {SET_IT}" if spec.key is None else "remove one of them"
        return None, [place.problem(found=found, allowed="exactly one of key and sha256", do=do)]
    return spec, []


def _unknown_models(spec: ApiKeySpec, place: Place, workspaces: Sequence[str]) -> list[Problem]:
    problems: list[Problem] = []
    for index, model in enumerate(spec.models):
        workspace, colon, adapter = model.partition(":")
        if workspace in workspaces:
            continue
        likely = nearest(workspace, workspaces, limit=1)
        problems.append(
            place.at("models", index).problem(
                found=f'"{model}", which is no workspace of this stack',
                allowed=f"one of {', '.join(workspaces)}, or WORKSPACE:ADAPTER" if workspaces else "nothing yet",
                do=f"write {likely[0]}{colon}{adapter}" if likely else "remove it",
            )
        )
    return problems


def _twice(read: Sequence[tuple[Place, ApiKeySpec]]) -> list[Problem]:
    problems: list[Problem] = []
    names: dict[str, Place] = {}
    hashes: dict[str, Place] = {}
    for place, spec in read:
        first = names.setdefault(spec.name, place)
        if first is not place:
            found = f'"{spec.name}", which is also the name of {first.short()}'
            allowed = "a name of its own for each key"
            problems.append(place.at("name").problem(found=found, allowed=allowed, do="rename one"))
        digest = _settings(spec).sha256
        same = hashes.setdefault(digest, place)
        if same is not place and digest != UNREAD_HASH:
            found = f"the same key as {same.short()}"
            allowed = "a key of its own for each name"
            problems.append(place.problem(found=found, allowed=allowed, do=f"{MAKE_ONE}, and give it to one of them"))
    return problems


def key_warnings(keys: ApiKeys) -> Iterator[str]:
    """Sentences about keys that are not kept secret, or cannot be read."""
    if keys.plain:
        yield (
            f"{KEY}: the key of {', '.join(keys.plain)} stands in the stack's file as it is, and in Pulumi's state; "
            f"{SET_IT}, with the key's place in the list, or write its sha256 instead"
        )
    if keys.unread:
        yield f"{KEY}: the key of {', '.join(keys.unread)} is a secret; only pulumi preview can tell whether it changes"


def alike(before: object, after: object) -> bool:
    """Whether two settings, as plain values, are the same; a key's hash that could not be read is like any other.

    >>> alike([{"name": "a", "sha256": "12"}], [{"name": "a", "sha256": UNREAD_HASH}])
    True
    """
    if not (isinstance(before, list) and isinstance(after, list)):
        return before == after
    old, new = cast("list[Any]", before), cast("list[Any]", after)
    return len(old) == len(new) and all(_same_key(*pair) for pair in zip(old, new, strict=True))


def _same_key(before: Any, after: Any) -> bool:  # noqa: ANN401 - what another version, or a person, left in a state
    if not (isinstance(before, Mapping) and isinstance(after, Mapping)):
        return before == after
    old, new = cast("Mapping[str, object]", before), cast("Mapping[str, object]", after)
    unread = {"sha256": UNREAD_HASH}
    return old == new or ({**old, **unread} == new)


def _settings(spec: ApiKeySpec) -> ApiKey:
    """As the service gets it."""
    return ApiKey(
        name=spec.name,
        sha256=spec.key or spec.sha256 or UNREAD_HASH,
        models=tuple(sorted(set(spec.models))),
        requests_per_minute=spec.requests_per_minute,
        tokens_per_minute=spec.tokens_per_minute,
        concurrent_requests=spec.concurrent_requests,
        admin=spec.admin,
    )
