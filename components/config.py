"""The stack's config as Pulumi hands it to the program."""

from __future__ import annotations

import json

from pulumi.runtime.config import CONFIG

from components.planning.spec import RawConfig

_NAMESPACE = "modelyard:"
_KEYS = ("target", "workspaces", "ray")


def stack_file(stack: str) -> str:
    """The file that a stack's config stands in."""
    return f"Pulumi.{stack}.yaml"


def load() -> RawConfig:
    """All values of the project's namespace, also those that it does not know, so that a misspelt key is refused."""
    values = {key.removeprefix(_NAMESPACE): value for key, value in CONFIG.get().items() if key.startswith(_NAMESPACE)}
    known = {key: _plain(values[key]) for key in _KEYS if key in values}
    return RawConfig(**known, other=tuple(sorted(values.keys() - set(_KEYS))))


def _plain(value: object) -> object:
    """Pulumi gives every value as text: structures as JSON, plain ones as they are written."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value
