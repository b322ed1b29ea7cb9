"""The checkout's two virtual environments, made by uv from the locks."""

import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from toolchain import locks, versions
from toolchain.commands import answer, run
from toolchain.console import Console
from toolchain.errors import ToolchainError
from toolchain.exclusive import exclusive
from toolchain.layout import Layout
from toolchain.locks import LockedSet

STAMP = "modelyard-lock.json"
"""Written last into an environment, removed first: an environment without it is not to be trusted."""

KERNELS_STAMP = "modelyard-kernels"
"""What `toolchain.kernels` has put into an environment; removed first, since a sync takes away what no lock has."""

NO_SPACE = "No space left on device"


@dataclass(frozen=True, kw_only=True)
class Environment:
    """One virtual environment and the sets it may hold, the smaller first; a larger set contains the smaller."""

    folder: Path
    sets: tuple[LockedSet, ...]


def environments(layout: Layout) -> tuple[Environment, ...]:
    """Two, because the serving container has no Pulumi, and Pulumi and Ray disagree on some packages."""
    return (
        Environment(folder=layout.venv, sets=(locks.OPERATOR, locks.DEV)),
        Environment(folder=layout.venv_serving, sets=(locks.SERVING, locks.SERVING_TEST)),
    )


def install(layout: Layout, wanted: LockedSet, environ: Mapping[str, str], console: Console) -> None:
    """Make the environment hold `wanted`; nothing is done, at once, if it holds it already."""
    environment = next(each for each in environments(layout) if wanted in each.sets)
    if _satisfied(layout, environment, wanted):
        return
    if environment.folder == layout.venv_serving and re.search(r"\s", str(layout.root)):
        raise ToolchainError(
            f"Ray does not start from a folder whose path has a space in it, as {layout.root} has",
            "move the checkout to a path without spaces",
        )
    with exclusive(layout.private / f"{environment.folder.name}.lock", console, f"installing {wanted.name}"):
        if _satisfied(layout, environment, wanted):
            return
        _install(layout, environment, _larger(environment, wanted), environ, console)


def uv(layout: Layout, environ: Mapping[str, str], console: Console) -> Path:
    """uv from PATH, or the pinned one in an environment of its own in the cache."""
    found = shutil.which("uv", path=environ.get("PATH", ""))
    if found is not None:
        version = versions.parse(answer([found, "--version"], env=environ) or "")
        if version is not None and version >= versions.UV_MINIMUM:
            return Path(found)
    folder = layout.cache / "uv" / f"{versions.UV}-python{versions.dotted(sys.version_info[:2])}"
    program = folder / "bin" / "uv"
    if (folder / STAMP).exists() and os.access(program, os.X_OK):
        return program
    with exclusive(folder.with_name(f"{folder.name}.lock"), console, "installing uv"):
        if not (folder / STAMP).exists():
            with console.step(f"Installing uv {versions.UV}"):
                _install_uv(layout, folder, environ)
    return program


def uv_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """uv's settings; it reads no settings of pip, so the index that a person has set for pip is handed on."""
    env = {**environ, "UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1"}
    index = environ.get("PIP_INDEX_URL")
    if index and "UV_DEFAULT_INDEX" not in env and "UV_INDEX_URL" not in env:
        env["UV_DEFAULT_INDEX"] = index
    return env


def _satisfied(layout: Layout, environment: Environment, wanted: LockedSet) -> bool:
    """Whether the environment holds `wanted`, or a set that contains it, as locked now."""
    held = _held(environment)
    if held is None:
        return False
    stamped, digest = held
    larger_or_same = environment.sets[environment.sets.index(wanted) :]
    return any(each.name == stamped and digest == _digest(layout, each) for each in larger_or_same)


def _larger(environment: Environment, wanted: LockedSet) -> LockedSet:
    """`wanted`, or what the environment was made for if that is more: an update must not take the tests' tools away."""
    held = _held(environment)
    names = [each.name for each in environment.sets]
    if held is None or held[0] not in names:
        return wanted
    return environment.sets[max(names.index(held[0]), names.index(wanted.name))]


def _held(environment: Environment) -> tuple[str, str] | None:
    try:
        stamp = json.loads((environment.folder / STAMP).read_text(encoding="utf-8"))
        held = (str(stamp["set"]), str(stamp["sha256"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return held if (environment.folder / "bin" / "python").exists() else None


def _digest(layout: Layout, locked: LockedSet) -> str:
    return hashlib.sha256((layout.root / locked.file).read_bytes()).hexdigest()


def _install(
    layout: Layout, environment: Environment, wanted: LockedSet, environ: Mapping[str, str], console: Console
) -> None:
    program = uv(layout, environ, console)
    env = uv_environment(environ)
    folder, stamp = environment.folder, environment.folder / STAMP
    way_out = "check the network and the package index that uv is set to, then try again"
    with console.step(f"Installing {wanted.name} into {folder.name}", usual=wanted.contains):
        try:
            if _held(environment) is None:
                run([program, "venv", "--clear", "--python", sys.executable, folder], env=env, way_out=way_out)
            stamp.unlink(missing_ok=True)
            (folder / KERNELS_STAMP).unlink(missing_ok=True)
            run(
                [program, "pip", "sync", "--require-hashes", "--python", folder / "bin" / "python", wanted.file],
                env=env,
                cwd=layout.root,
                way_out=way_out,
            )
        except ToolchainError as error:
            if NO_SPACE in str(error):
                raise ToolchainError(
                    str(error), "free some space: the serving set takes 5 GB, and as much again where uv's cache lies"
                ) from error
            raise
    content = json.dumps({"set": wanted.name, "sha256": _digest(layout, wanted)})
    stamp.write_text(f"{content}\n", encoding="utf-8")


def _install_uv(layout: Layout, folder: Path, environ: Mapping[str, str]) -> None:
    run(
        [sys.executable, "-m", "venv", "--clear", folder],
        env=environ,
        way_out=(
            "install Python's venv module (Debian and Ubuntu: `apt install python3-venv`), or uv itself "
            "(https://docs.astral.sh/uv/), and try again"
        ),
    )
    run(
        [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--require-hashes", "-r", locks.UV_LOCK],
        env={**environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        cwd=layout.root,
        way_out="check the network and the package index that pip is set to, then try again",
    )
    (folder / STAMP).write_text("{}\n", encoding="utf-8")
