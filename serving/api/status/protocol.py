"""The wire of /health, /ready and /version."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from serving.adapters.report import AdaptersReport
from serving.api.errors import ErrorBody
from serving.engines.protocol import EngineStatus


class Health(BaseModel):
    """The replica's process lives, whatever its engine does; KAITO's words."""

    status: Literal["Healthy"] = "Healthy"


class Ready(BaseModel):
    """Requests are answered now."""

    status: Literal["ready"] = "ready"
    model: str
    phases: dict[str, float]
    """Seconds that each phase of the last start took."""
    host: str
    """Name of the machine or pod that answers; with engine_pid it tells replicas apart."""
    engine_pid: int | None
    """The engine's process: another number after it was restarted."""
    adapters: AdaptersReport
    """Of which one may be loading or refused; the others and the model answer all the same."""


class NotReady(ErrorBody):
    """Requests are not answered now; `reason` is for programs, `message` for people."""

    status: EngineStatus
    reason: str
    message: str
    phases: dict[str, float]


class Version(BaseModel):
    """What runs here."""

    modelyard: str
    code: str
    """Digest of the code of this replica."""
    preset: str
    weights: str
    packages: dict[str, str]
    """Versions of the libraries that decide what is computed."""
