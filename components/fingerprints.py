"""Digests of what replicas are built from, so that a change of it is a change of the stack."""

from __future__ import annotations

import hashlib
from pathlib import Path

_LENGTH = 12


PROJECT = Path(__file__).parents[1]

SHARED = (
    "presets/__init__.py",
    "presets/adapter_source.py",
    "presets/image_reference.py",
    "presets/serve_config.py",
    "presets/weights_source.py",
)
"""What serving imports besides its own: the rest of presets only plans, and a change of it replaces no replica."""


def code_version(project: Path) -> str:
    """Digest of the code that replicas import; another one replaces them."""
    return _digest(project, code_files(project))


def code_files(project: Path) -> list[Path]:
    """The code that replicas import, sorted."""
    return sorted([*project.glob("serving/**/*.py"), *(project / name for name in SHARED)])


def serving_environment(project: Path) -> str:
    """Digest of the locked serving dependencies; another one restarts this machine's Ray."""
    return _digest(project, [project / "requirements" / "serving.txt"])


def _digest(project: Path, files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(str(file.relative_to(project)).encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:_LENGTH]
