"""The stack's config as Pulumi hands it to the program."""

from __future__ import annotations

import json

from pulumi.runtime.config import CONFIG

from components.planning.spec import RawConfig, namespaced, raw_config


def load() -> RawConfig:
    """All values of the project's namespace, also those that it does not know, so that a misspelt key is refused."""
    return raw_config({key: _plain(value) for key, value in namespaced(CONFIG.get()).items()})


def _plain(value: object) -> object:
    """Pulumi gives every value as text: structures as JSON, plain ones as they are written."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value
