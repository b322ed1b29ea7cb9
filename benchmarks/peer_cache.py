"""Peers are installed once for each person, where the bootstrap keeps Pulumi: outside of any checkout."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.console import console
from benchmarks.errors import ServiceFailed
from toolchain import commands, virtualenvs
from toolchain.environment import complete
from toolchain.errors import ToolchainError
from toolchain.exclusive import exclusive
from toolchain.layout import Layout

_COMPLETE = "complete"
"""Written last: a folder without it is what an interrupted installation has left."""


def prepared(name: str, make: Callable[[Path], None]) -> Path:
    """The folder of this name, which `make` fills where it has not been filled yet; its name holds all versions.

    A folder gets no other name when it is whole, since a virtual environment's programs know where they lie.
    Raises ServiceFailed.
    """
    folder = Layout.of(os.environ).cache / "peers" / name
    if (folder / _COMPLETE).exists():
        return folder
    try:
        with exclusive(folder.with_name(f"{name}.lock"), console, f"preparing {name}"):
            if not (folder / _COMPLETE).exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(parents=True)
                make(folder)
                (folder / _COMPLETE).touch()
    except ToolchainError as error:
        raise ServiceFailed(f"it could not be installed: {last_line(str(error))}; {error.way_out}") from error
    except OSError as error:
        raise ServiceFailed(f"it could not be installed: {error}") from error
    return folder


def run(argv: Sequence[str | Path], cwd: Path | None = None, *, way_out: str) -> str:
    """A program of an installation; its output is shown if it fails. Raises ToolchainError."""
    return commands.run(argv, env=virtualenvs.uv_environment(complete(os.environ, {})), cwd=cwd, way_out=way_out)


def uv() -> Path:
    """The bootstrap's uv. Raises ToolchainError."""
    return virtualenvs.uv(Layout.of(os.environ), os.environ, console)


def last_line(text: str) -> str:
    """
    >>> last_line("a\\nb\\n\\n"), last_line("")
    ('b', 'it said nothing')
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
