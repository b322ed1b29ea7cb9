"""What crosses the socket between the replica and its engine process, and how."""

from __future__ import annotations

import asyncio
import pickle
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pydantic import BaseModel, ConfigDict

from presets.serve_config import EngineArgs
from serving.engines.protocol import Adapter, EngineStats, GenerationRequest, TokenChunk

_LENGTH = struct.Struct("!I")


class LaunchOptions(BaseModel):
    """How the child is started; JSON on its command line, so that `ps` shows what a process serves."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    model_dir: Path
    trust_remote_code: bool
    engine: EngineArgs


@dataclass(frozen=True)
class Submit:
    request: GenerationRequest


@dataclass(frozen=True)
class Cancel:
    request_id: str


@dataclass(frozen=True)
class LoadAdapter:
    adapter: Adapter


@dataclass(frozen=True)
class UnloadAdapter:
    adapter_id: str


@dataclass(frozen=True)
class Ping:
    """Asks for a report, whether there is anything to report or not."""


Command = Submit | Cancel | LoadAdapter | UnloadAdapter | Ping


@dataclass(frozen=True, kw_only=True)
class Started:
    """Requests are answered from now on."""

    load_seconds: float
    warmup_seconds: float


@dataclass(frozen=True)
class StartFailed:
    """The fields of a StartupFailure."""

    reason: str
    message: str


@dataclass(frozen=True, kw_only=True)
class StepReport:
    """All that one step made, by request id, and where the engine stands after it."""

    chunks: dict[str, TokenChunk]
    failures: dict[str, str]
    stats: EngineStats


@dataclass(frozen=True)
class AdapterLoaded:
    adapter_id: str


@dataclass(frozen=True)
class AdapterNotLoaded:
    """It could not be loaded, or is no more. The fields of an AdapterRefused."""

    adapter_id: str
    reason: str
    message: str


Event = Started | StartFailed | StepReport | AdapterLoaded | AdapterNotLoaded


def encode(message: Command | Event) -> bytes:
    """A frame: four bytes of length, then the pickle. Both ends are ours and nobody else can write to the pair."""
    body = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(body)) + body


async def read_event(reader: asyncio.StreamReader) -> Event | None:
    """The next message of the child; None when it has closed its end."""
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        return pickle.loads(await reader.readexactly(length))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


def read_command(stream: BinaryIO) -> Command | None:
    """The next message of the parent, waiting for it; None when it has closed its end or died."""
    try:
        header = stream.read(_LENGTH.size)
        body = stream.read(_LENGTH.unpack(header)[0])
        return pickle.loads(body)
    except (OSError, EOFError, struct.error, pickle.UnpicklingError):  # cut off in the middle
        return None
