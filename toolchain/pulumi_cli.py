"""Finds Pulumi, or gets it: on PATH, from the per-user cache, from the official release, from source."""

import hashlib
import os
import platform
import shutil
import stat
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from toolchain import go_build, official, versions
from toolchain.commands import answer
from toolchain.console import Console
from toolchain.errors import ToolchainError
from toolchain.exclusive import exclusive
from toolchain.layout import Layout

PROGRAMS = ("pulumi", "pulumi-language-python", "pulumi-language-python-exec", "pulumi-resource-pulumi-python")
"""The engine, the Python language host, the script it runs programs with, and the host of dynamic providers."""

ORIGIN = "origin"
MODULES = ("pulumi", "language-python")


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
    bin_folder = cache_folder(layout) / "bin"
    found = on_path(environ, ignore=bin_folder)
    if isinstance(found, PulumiCli):
        return found
    if found is not None:
        console.say(f"Pulumi: {found.reason}; using one of our own")
    if (cached := from_cache(bin_folder)) is not None:
        return cached
    with exclusive(layout.cache / "toolchain" / f"{bin_folder.parent.name}.lock", console, "getting Pulumi"):
        if (cached := from_cache(bin_folder)) is not None:
            return cached
        return _obtain(layout, environ, console, bin_folder, release or official.release())


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


def cache_folder(layout: Layout) -> Path:
    """The cache's folder for exactly these locks, versions and this kind of machine."""
    digest = hashlib.sha256()
    for module in MODULES:
        for name in ("go.mod", "go.sum"):
            digest.update((layout.root / "toolchain" / module / name).read_bytes())
    digest.update(f"{versions.PULUMI} {versions.LANGUAGE_HOST} {platform.system()} {platform.machine()}".encode())
    return layout.cache / "toolchain" / digest.hexdigest()[:16]


def from_cache(bin_folder: Path) -> PulumiCli | None:
    """What an earlier run put into the cache."""
    if not all(os.access(bin_folder / name, os.X_OK) for name in PROGRAMS):
        return None
    origin = (bin_folder.parent / ORIGIN).read_text(encoding="utf-8").strip()
    return PulumiCli(folder=bin_folder, origin=f"{versions.PULUMI} from the cache, {origin}")


def fill(bin_folder: Path, origin: str, make: Callable[[Path, Path], None]) -> None:
    """Let `make(bin, scratch)` fill a folder beside the cache, then put it in its place in one step.

    Whatever ends this early, the cache holds either all programs or none; what a killed run left is removed first.
    The caller holds the cache's lock.
    """
    home = bin_folder.parent
    home.parent.mkdir(parents=True, exist_ok=True)
    for leftover in home.parent.glob(f"{home.name}.part-*"):
        remove(leftover)
    part = Path(tempfile.mkdtemp(prefix=f"{home.name}.part-", dir=home.parent))
    try:
        (part / "bin").mkdir()
        (part / "scratch").mkdir()
        make(part / "bin", part / "scratch")
        for name in PROGRAMS:
            (part / "bin" / name).chmod(0o755)
        (part / ORIGIN).write_text(f"{origin}\n", encoding="utf-8")
        remove(part / "scratch")
        if home.exists():
            remove(home)
        part.chmod(0o755)
        part.rename(home)
    finally:
        remove(part)


def remove(folder: Path) -> None:
    """Delete a folder, read-only parts of it (Go's module cache) included; it may be gone already."""

    def open_up(_function: object, path: str, _error: object) -> None:
        for locked in (Path(path).parent, Path(path)):
            if locked.is_dir() and not locked.is_symlink():
                locked.chmod(stat.S_IRWXU)
        if Path(path).is_dir() and not Path(path).is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            Path(path).unlink(missing_ok=True)

    if folder.exists():
        shutil.rmtree(folder, onerror=open_up)


def _obtain(
    layout: Layout, environ: Mapping[str, str], console: Console, bin_folder: Path, release: official.Release
) -> PulumiCli:
    def download(target: Path, scratch: Path) -> None:
        official.install(release, PROGRAMS, target, scratch, console)

    def build(target: Path, scratch: Path) -> None:
        go_build.build(layout.root / "toolchain", target, scratch, environ, console)

    try:
        fill(bin_folder, f"downloaded from {release.archive}", download)
    except official.Unavailable as unavailable:
        console.say(f"Pulumi: no official release, {unavailable}; building it from source instead")
        try:
            fill(bin_folder, "built from source", build)
        except ToolchainError as error:
            raise ToolchainError(
                f"Pulumi {versions.PULUMI} is neither on PATH nor to be had from {release.archive} ({unavailable}), "
                f"and its build failed: {error}",
                error.way_out,
            ) from error
    obtained = from_cache(bin_folder)
    if obtained is None:
        raise ToolchainError(
            f"{bin_folder} lacks some of {', '.join(PROGRAMS)} although it was just filled",
            f"remove {bin_folder.parent} and try again",
        )
    return obtained
