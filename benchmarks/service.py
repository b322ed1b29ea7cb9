"""A service under test, whoever runs it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import psutil

MODELYARD = "modelyard"
TRANSFORMERS = "transformers serve"


@dataclass(frozen=True, kw_only=True)
class Service:
    """A running service with OpenAI's API. `base_url` has its /v1; `processes` are all that it consists of."""

    name: str
    base_url: str
    models: Sequence[str]
    """Ids that its clients ask for in turn."""
    processes: Sequence[psutil.Process]
