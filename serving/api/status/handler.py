"""Whether the replica lives, whether it answers, what it is made of."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib import metadata

from serving.adapters.registry import AdapterRegistry
from serving.api.errors import ErrorDetail
from serving.api.status.protocol import NotReady, Ready, Version
from serving.engines.protocol import Engine
from serving.version import VERSION

_PACKAGES = ("fastapi", "peft", "pydantic", "ray", "tokenizers", "torch", "transformers")


@dataclass(frozen=True, kw_only=True)
class Status:
    """Reports on one replica."""

    engine: Engine
    adapters: AdapterRegistry
    model: str
    preset: str
    weights: str
    code_version: str
    phases: dict[str, float]
    """Seconds of the phases before the engine's own."""

    def readiness(self) -> Ready | NotReady:
        health = self.engine.health()
        phases = {**self.phases, **health.phases}
        if health.status == "ready":
            return Ready(
                model=self.model,
                phases=phases,
                host=platform.node(),
                engine_pid=health.pid,
                adapters=self.adapters.report(),
            )
        reason = health.reason or health.status.capitalize()
        message = health.message or f"The engine is {health.status}."
        return NotReady(
            status=health.status,
            reason=reason,
            message=message,
            phases=phases,
            error=ErrorDetail(message=message, type="service_unavailable_error", param=None, code="engine_unavailable"),
        )

    def version(self) -> Version:
        return Version(
            modelyard=VERSION, code=self.code_version, preset=self.preset, weights=self.weights, packages=_packages()
        )


def _packages() -> dict[str, str]:
    """Read from the packages' metadata: importing torch to learn its version takes seconds."""
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions
