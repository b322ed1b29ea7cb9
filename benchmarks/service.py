"""A service under test, whoever runs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psutil

MODELYARD = "modelyard"
TRANSFORMERS = "transformers serve"
VLLM = "vLLM"
LLAMA = "llama-server"

Target = Mapping[str, object]
"""The fields of a request that choose the model: `model`, and where adapters are chosen in another way, that one's."""


@dataclass(frozen=True, kw_only=True)
class Service:
    """A running service with OpenAI's API. `base_url` has its /v1; `processes` are all that it consists of."""

    name: str
    base_url: str
    models: Sequence[Target]
    """What its clients ask for in turn."""
    processes: Sequence[psutil.Process]
    variant: str = ""
    """How it is asked, where one service is measured in several ways: "4 adapters"."""

    @property
    def label(self) -> str:
        """What tables call it."""
        return f"{self.name}, {self.variant}" if self.variant else self.name
