"""The values that pass in and out of ensure()."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Progress:
    """One step of the work. `done` and `total` are bytes, None where they are not known."""

    message: str
    done: int | None = None
    total: int | None = None


Report = Callable[[Progress], None]

SECONDS_BETWEEN_REPORTS = 1.0
"""Of bytes that arrive."""


@dataclass(frozen=True, kw_only=True)
class ResolvedWeights:
    """A directory that transformers loads: config.json, tokenizer, *.safetensors."""

    path: Path
    digest: str
    """`sha256:HEX` over all files' names and contents; `sampled-sha256:HEX` for a directory used in place, of which
    weights are read in samples only."""
    bytes: int
    """Size of all files together."""
