"""The programs of the environment that models run in, which the operator's own environment has not."""

from __future__ import annotations

from pathlib import Path


class ServingEnvironmentMissing(Exception):
    """The environment was not installed, or only in part."""


def program(project: Path, name: str) -> Path:
    """The executable of that name, such as ray or python."""
    executable = project / ".venv-serving" / "bin" / name
    if not executable.exists():
        raise ServingEnvironmentMissing(f"the serving environment lacks {executable}; run make setup")
    return executable
