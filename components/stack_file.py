"""The stack's config as it stands in the stack's file, for a plan without Pulumi."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from components.planning.errors import Problem, SpecError
from components.planning.key_fields import UnreadSecret
from components.planning.place import Place, shown
from components.planning.spec import NAMESPACE, RawConfig, namespaced, raw_config
from components.planning.yaml_text import YamlError, read_yaml
from components.text_files import NotUtf8, UnreadableText, read_text

PROJECT_FILE = "Pulumi.yaml"
"""May hold values for every stack; a stack's own win over them."""

_SECURE = "secure"

_API_KEYS = "apiKeys"


def stack_file(stack: str) -> str:
    """The file that a stack's config stands in."""
    return f"Pulumi.{stack}.yaml"


def load_file(folder: Path, stack: str) -> RawConfig:
    """What Pulumi would hand to the program: the values of the stack's file, and defaults of the project's.

    Of an API key that is a secret, no more than that it is there. Raises SpecError where Pulumi would refuse a file,
    and for other secrets, which only Pulumi can read.
    """
    name = stack_file(stack)
    try:
        config = _config(_content(folder / name, name, "write it, or choose another stack: STACK=dev"), name)
        values = _project_values(folder) | namespaced(config)
    except SpecError as wrong:
        raise SpecError(wrong.problems, name) from None
    secret_keys = [key for key, value in values.items() if _holds_secret(value)]
    if _API_KEYS in values:
        values[_API_KEYS] = _with_unread_keys(values[_API_KEYS])
    if secrets := [_secret(Place(f"{NAMESPACE}{key}")) for key, value in values.items() if _holds_secret(value)]:
        raise SpecError(secrets, name)
    return raw_config({key: plain_value(value) for key, value in values.items()}, secret_keys)


def plain_value(value: object) -> object:
    """Pulumi gives every value as text: structures as JSON, plain ones as they are written. In a stack's file a
    structure is JSON too where `pulumi config set` wrote it without --path.

    >>> plain_value("[1]"), plain_value("local"), plain_value([1])
    ([1], 'local', [1])
    """
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _content(path: Path, name: str, if_missing: str) -> object:
    try:
        return read_yaml(read_text(path))
    except NotUtf8 as wrong:
        raise _refused(name, str(wrong), "write the file again as UTF-8 text") from None
    except UnreadableText as wrong:
        raise _refused(name, str(wrong), if_missing) from None
    except YamlError as wrong:
        place = name if wrong.line is None else f"{name}: line {wrong.line}"
        raise _refused(place, str(wrong), wrong.do) from None


def _config(content: object, name: str) -> dict[str, object]:
    """The values of a stack's file by their full keys."""
    if content is None:
        return {}
    if not isinstance(content, Mapping):
        raise _refused(name, shown(content), "write config: and below it the keys, such as modelyard:target: local")
    config = cast("Mapping[object, object]", content).get("config")
    if config is None:
        return {}
    if not isinstance(config, Mapping):
        raise _refused(f"{name}: config", shown(config), "write the keys below it, such as modelyard:target: local")
    values = _by_full_key(cast("Mapping[object, object]", config), name)
    # Pulumi hands a key without a value over as an empty text.
    return {key: "" if value is None else value for key, value in values.items()}


def _by_full_key(config: Mapping[object, object], name: str) -> dict[str, object]:
    """A key without a namespace is the project's own; one that is written with it wins."""
    for key in config:
        if not isinstance(key, str):
            do = f'write it in quotes: "{NAMESPACE}{key}"' if key is not None else "remove it"
            raise _refused(f"{name}: config", f"the key {shown(key)}", do)
    texts = cast("Mapping[str, object]", config)
    short = {f"{NAMESPACE}{key}": value for key, value in texts.items() if ":" not in key}
    return short | {key: value for key, value in texts.items() if ":" in key}


def _project_values(folder: Path) -> dict[str, object]:
    """Values that the project's file gives to every stack: plain, or as `value` or `default` of a declaration."""
    if not (folder / PROJECT_FILE).is_file():
        return {}
    content = _content(folder / PROJECT_FILE, PROJECT_FILE, "make it readable")
    config = cast("Mapping[object, object]", content).get("config") if isinstance(content, Mapping) else None
    if not isinstance(config, Mapping):
        return {}
    found: dict[str, object] = {}
    for key, declared in _by_full_key(cast("Mapping[object, object]", config), PROJECT_FILE).items():
        declaration = cast("Mapping[str, object]", declared) if isinstance(declared, Mapping) else {"value": declared}
        for field in ("value", "default"):
            if field in declaration:
                found[key] = declaration[field]
                break
    return namespaced(found)


def _holds_secret(value: object) -> bool:
    if isinstance(value, Mapping):
        return _is_secret(value) or any(map(_holds_secret, cast("Mapping[object, object]", value).values()))
    return isinstance(value, list) and any(map(_holds_secret, cast("list[object]", value)))


def _is_secret(value: object) -> bool:
    """A secret is a map with one text called secure, wherever it stands in a value."""
    if not isinstance(value, Mapping):
        return False
    fields = cast("Mapping[object, object]", value)
    return set(fields) == {_SECURE} and isinstance(fields[_SECURE], str)


def _with_unread_keys(api_keys: object) -> object:
    """The list of API keys, with what stands for a secret in place of those that are encrypted."""
    if not isinstance(api_keys, list):
        return api_keys
    return [
        {**item, "key": UnreadSecret()} if isinstance(item, Mapping) and _is_secret(item.get("key")) else item
        for item in cast("list[Any]", api_keys)
    ]


def _secret(place: Place) -> Problem:
    return place.problem(
        found="a secret, which make plan cannot read",
        allowed="values in plain text; of modelyard's config the key of each of modelyard:apiKeys alone is a secret",
        do="use make preview, or set it again without --secret",
    )


def _refused(path: str, found: str, do: str) -> SpecError:
    allowed = "a stack's file in YAML, with config:"
    return SpecError([Problem(path=path, found=found, allowed=allowed, do=do)], path)
