"""Finds Pulumi, or gets it: on PATH, from the per-user cache, from the official release, from source."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from toolchain import official, program_cache, versions
from toolchain.commands import answer
from toolchain.console import Console
from toolchain.layout import Layout
from toolchain.program_sets import BIN, PULUMI

PROGRAMS = ("pulumi", "pulumi-language-python", "pulumi-language-python-exec", "pulumi-resource-pulumi-python")
"""The engine, the Python language host, the script it runs programs with, and the host of dynamic providers."""


@dataclass(frozen=True, kw_only=True)
class PulumiCli:
    """A Pulumi that can run this program."""

    folder: Path
    """Goes first on PATH."""
    origin: str
    """How it came to this machine, in words."""
    cached: bool = True
    """Whether it is ours, from the cache, and not somebody else's on PATH."""


@dataclass(frozen=True, kw_only=True)
class Unsuitable:
    """A `pulumi` on PATH that cannot run this program."""

    reason: str


def provide(
    layout: Layout, environ: Mapping[str, str], console: Console, release: official.Release | None = None
) -> PulumiCli:
    """The first Pulumi that serves, in this order: PATH, the cache, the official release, a build from source.

    Raises ToolchainError if none of the ways works, saying why each did not.
    """
    found = on_path(environ, ignore=program_cache.folder(layout, PULUMI) / BIN)
    if isinstance(found, PulumiCli):
        return found
    if found is not None:
        console.say(f"Pulumi: {found.reason}; using one of our own")
    home, origin = program_cache.obtain(layout, PULUMI, [release or official.pulumi()], environ, console)
    return PulumiCli(folder=home / BIN, origin=f"{versions.PULUMI} from the cache, {origin}")


def on_path(environ: Mapping[str, str], *, ignore: Path) -> PulumiCli | Unsuitable | None:
    """The `pulumi` on PATH if it is new enough and complete, what is wrong with it, or None if there is none."""
    folders = [part for part in environ.get("PATH", "").split(os.pathsep) if part and Path(part) != ignore]
    path = os.pathsep.join(folders)
    pulumi = shutil.which("pulumi", path=path)
    if pulumi is None:
        return None
    said = answer([pulumi, "version"], env={**environ, "PULUMI_SKIP_UPDATE_CHECK": "true"})
    version = versions.parse(said or "")
    if version is None:
        return Unsuitable(reason=f"{pulumi} does not answer `pulumi version`")
    if version[:2] < versions.PULUMI_MINIMUM:
        return Unsuitable(
            reason=f"{pulumi} is {versions.dotted(version)}, older than {versions.dotted(versions.PULUMI_MINIMUM)}"
        )
    # The engine looks beside itself, links resolved, and then on PATH; the executor must lie beside its language host.
    beside = Path(pulumi).resolve().parent
    search = os.pathsep.join([str(beside), path])
    host = shutil.which("pulumi-language-python", path=search)
    if host is None:
        return Unsuitable(reason=f"{pulumi} has no pulumi-language-python beside it or on PATH")
    if not (Path(host).resolve().parent / "pulumi-language-python-exec").exists():
        return Unsuitable(reason=f"{host} has no pulumi-language-python-exec beside it")
    if shutil.which("pulumi-resource-pulumi-python", path=search) is None:
        return Unsuitable(reason=f"{pulumi} has no pulumi-resource-pulumi-python beside it or on PATH")
    return PulumiCli(folder=Path(pulumi).parent, origin=f"{versions.dotted(version)} on PATH, {pulumi}", cached=False)
