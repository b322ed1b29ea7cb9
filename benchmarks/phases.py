"""The way from `pulumi up` to the first token, in phases that add up to the whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields


@dataclass(frozen=True, kw_only=True)
class Phases:
    """Seconds, one after the other."""

    pulumi: float
    """Everything that is not below: the CLI, the program, its preview, the state."""
    ray: float
    """From starting Ray's processes until Serve's HTTP proxy answers."""
    weights: float
    """Fetching, converting and checking, before anything is deployed."""
    replica: float
    """Serve's controller starts a replica: a Ray worker, its imports, the check of the weights; polling sees it."""
    engine_process: float
    """The engine's own process, until it begins to load: mostly the import of torch and transformers."""
    load: float
    warmup: float
    smoke_prompt: float
    first_token: float
    """A client's streamed request after `pulumi up` has ended, until its first piece of text."""

    @property
    def total(self) -> float:
        return sum(self.seconds())

    def seconds(self) -> list[float]:
        """The phases in their order."""
        return [getattr(self, field.name) for field in fields(self)]

    @classmethod
    def of(cls, up_seconds: float, ray_seconds: float, outputs: Mapping[str, float], first_token: float) -> Phases:
        """outputs: a workspace's `phases` in the stack's outputs; its `deploy` holds the replica and its engine."""
        process, load, warmup = outputs["process"], outputs["load"], outputs["warmup"]
        weights, deploy, smoke_prompt = outputs["weights"], outputs["deploy"], outputs["smokePrompt"]
        return cls(
            pulumi=up_seconds - ray_seconds - weights - deploy - smoke_prompt,
            ray=ray_seconds,
            weights=weights,
            replica=deploy - process - load - warmup,
            engine_process=process,
            load=load,
            warmup=warmup,
            smoke_prompt=smoke_prompt,
            first_token=first_token,
        )
