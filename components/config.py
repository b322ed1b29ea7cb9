"""The stack's config as Pulumi hands it to the program."""

from __future__ import annotations

from pulumi.runtime.config import CONFIG, is_config_secret

from components.planning.spec import NAMESPACE, RawConfig, namespaced, raw_config
from components.stack_file import plain_value


def load() -> RawConfig:
    """All values of the project's namespace, also those that it does not know, so that a misspelt key is refused.

    Secrets are among them as they are: of API keys, parsing keeps no more than the hashes.
    """
    values = namespaced(CONFIG.get())
    secrets = [key for key in values if is_config_secret(f"{NAMESPACE}{key}")]
    return raw_config({key: plain_value(value) for key, value in values.items()}, secrets)
