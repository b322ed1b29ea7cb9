"""Which rigs there are on this machine, so that none is lost when the process that started it is killed.

One file a port, in a folder that a restart of the machine empties.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.cluster.rig.processes import is_alive, started_at

FOLDER = Path("/run/modelyard-rig")


@dataclass(frozen=True, kw_only=True)
class Record:
    """Of one rig."""

    port: int
    state: str
    owner: int | None
    """The process that the rig belongs to and must not outlive; None: it stays until `down`."""
    owner_started: int | None

    @classmethod
    def write(cls, port: int, state: Path, *, owned: bool) -> Record:
        """Write down a rig of this process, or of nobody."""
        owner = os.getpid() if owned else None
        record = cls(port=port, state=str(state), owner=owner, owner_started=started_at(owner) if owner else None)
        FOLDER.mkdir(parents=True, exist_ok=True)
        _file(port).write_text(json.dumps(asdict(record)), encoding="utf-8")
        return record

    @classmethod
    def of(cls, port: int) -> Record | None:
        """What is written down for a port."""
        try:
            return cls(**json.loads(_file(port).read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    @property
    def abandoned(self) -> bool:
        """Its owner is gone, so nobody will take it down."""
        if self.owner is None:
            return False
        return not is_alive(self.owner) or started_at(self.owner) != self.owner_started


def forget(port: int) -> None:
    """The rig is down."""
    _file(port).unlink(missing_ok=True)
    if FOLDER.is_dir() and not any(FOLDER.iterdir()):
        FOLDER.rmdir()


def _file(port: int) -> Path:
    return FOLDER / f"{port}.json"
