"""The stack's config as Pulumi hands it to the program."""

from __future__ import annotations

from pulumi.runtime.config import CONFIG

from components.planning.spec import RawConfig, namespaced, raw_config
from components.stack_file import plain_value


def load() -> RawConfig:
    """All values of the project's namespace, also those that it does not know, so that a misspelt key is refused."""
    return raw_config({key: plain_value(value) for key, value in namespaced(CONFIG.get()).items()})
