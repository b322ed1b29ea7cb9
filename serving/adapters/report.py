"""What a replica tells of its adapters."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

State = Literal["Loading", "Ready", "Failed"]


class AdapterReport(BaseModel):
    """One adapter. `reason` and `message` say why it is not Ready; a Ready one may have a remark as its message.

    Without a field for the source: /ready shows it to everybody, and nobody waits for one.
    """

    name: str
    state: State
    """Of what is wanted now. While another version loads, or after it failed, `version` is still answered with."""
    version: str | None
    """name@sha256:DIGEST of the content that requests are answered with, and *STRENGTH where that is not 1; null if
    there is none."""
    strength: float
    reason: str
    message: str


class AdaptersReport(BaseModel):
    """All adapters of a replica, by name."""

    generation: str
    """presets.serve_config.adapters_generation of the list that this replica has been given."""
    adapters: list[AdapterReport]
