"""The per-user cache of programs that are not Python: one folder a set, filled whole or not at all."""

import hashlib
import os
import platform
import shutil
import stat
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from toolchain import go_build, official
from toolchain.console import Console
from toolchain.errors import ToolchainError
from toolchain.exclusive import exclusive
from toolchain.layout import Layout
from toolchain.official import Release, Unavailable
from toolchain.program_sets import BIN, ProgramSet

ORIGIN = "origin"
KEYED_BY = ("go.mod", "go.sum", "main.go")


def folder(layout: Layout, wanted: ProgramSet) -> Path:
    """The cache's folder for exactly these locks, versions and this kind of machine."""
    digest = hashlib.sha256()
    for module in wanted.modules:
        for name in KEYED_BY:
            path = layout.root / "toolchain" / module / name
            if path.exists():
                digest.update(path.read_bytes())
    digest.update(" ".join((*wanted.versions, platform.system(), platform.machine())).encode())
    return layout.cache / "toolchain" / digest.hexdigest()[:16]


def origin(home: Path, wanted: ProgramSet) -> str | None:
    """How what the cache holds came to this machine, or None if it does not hold the set."""
    if not all(os.access(home / BIN / name, os.X_OK) for name in wanted.executables):
        return None
    return (home / ORIGIN).read_text(encoding="utf-8").strip()


def obtain(
    layout: Layout, wanted: ProgramSet, releases: Sequence[Release], environ: Mapping[str, str], console: Console
) -> tuple[Path, str]:
    """The set's folder and how it came to this machine: it was there, or is downloaded, or built from source.

    Raises ToolchainError if there is no way, saying why each of them failed.
    """
    home = folder(layout, wanted)
    if (found := origin(home, wanted)) is not None:
        return home, found
    with exclusive(home.with_name(f"{home.name}.lock"), console, f"getting {wanted.title}"):
        if (found := origin(home, wanted)) is not None:
            return home, found
        fill(home, wanted, lambda part, scratch: _make(layout, wanted, releases, part, scratch, environ, console))
    found = origin(home, wanted)
    if found is None:
        raise ToolchainError(
            f"{home / BIN} lacks some of {', '.join(wanted.executables)} although it was just filled",
            f"remove {home} and try again",
        )
    return home, found


def fill(home: Path, wanted: ProgramSet, make: Callable[[Path, Path], str]) -> None:
    """Let `make(part, scratch)` fill a folder beside the cache, then put it in its place in one step.

    It returns where its content is from. Whatever ends this early, the cache holds either the whole set or nothing of
    it; what a killed run left is removed first. The caller holds the cache's lock.
    """
    home.parent.mkdir(parents=True, exist_ok=True)
    for leftover in home.parent.glob(f"{home.name}.part-*"):
        remove(leftover)
    part = Path(tempfile.mkdtemp(prefix=f"{home.name}.part-", dir=home.parent))
    try:
        (part / BIN).mkdir()
        (part / "scratch").mkdir()
        whence = make(part, part / "scratch")
        for name in wanted.executables:
            (part / BIN / name).chmod(0o755)
        (part / ORIGIN).write_text(f"{whence}\n", encoding="utf-8")
        remove(part / "scratch")
        if home.exists():
            remove(home)
        part.chmod(0o755)
        part.rename(home)
    finally:
        remove(part)


def remove(path: Path) -> None:
    """Delete a folder, read-only parts of it (Go's module cache) included; it may be gone already."""

    def open_up(_function: object, path: str, _error: object) -> None:
        for locked in (Path(path).parent, Path(path)):
            if locked.is_dir() and not locked.is_symlink():
                locked.chmod(stat.S_IRWXU)
        if Path(path).is_dir() and not Path(path).is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            Path(path).unlink(missing_ok=True)

    if path.exists():
        shutil.rmtree(path, onerror=open_up)


def _make(
    layout: Layout,
    wanted: ProgramSet,
    releases: Sequence[Release],
    part: Path,
    scratch: Path,
    environ: Mapping[str, str],
    console: Console,
) -> str:
    refusals = _download(wanted, releases, part / BIN, scratch, console)
    there = [name for name in wanted.executables if (part / BIN / name).exists()]
    missing = [each.name for each in wanted.programs if each.name not in there]
    whence = [f"downloaded from {each.archive}" for each in releases if each not in refusals]
    if not missing:
        return "; ".join(whence)
    why = next(iter(refusals.values()), None)
    if why is not None:
        them = "it" if len(wanted.programs) == 1 or not there else ", ".join(missing)
        console.say(f"{wanted.title}: no official release, {why}; building {them} from source instead")
    try:
        go_build.build(wanted, missing, layout.root / "toolchain", part, scratch, environ, console)
    except ToolchainError as error:
        if why is None:
            raise
        raise ToolchainError(
            f"{wanted.title} is neither on this machine nor to be had from {next(iter(refusals)).archive} ({why}), "
            f"and its build failed: {error}",
            error.way_out,
        ) from error
    names = f"{', '.join(missing)} " if whence else ""
    return "; ".join([*whence, f"{names}built from source"])


def _download(
    wanted: ProgramSet, releases: Sequence[Release], target: Path, scratch: Path, console: Console
) -> dict[Release, Unavailable]:
    """Put what can be downloaded into `target`; returns what cannot, and why. A silent host is asked once."""
    refusals: dict[Release, Unavailable] = {}
    silent: dict[str, Unavailable] = {}
    for release in releases:
        known = next((silent[host] for host in sorted(release.hosts) if host in silent), None)
        if known is not None:
            refusals[release] = known
            continue
        programs = release.programs or wanted.executables
        what = ", ".join(release.programs) or wanted.title
        try:
            official.install(release, programs, target, scratch, console, what)
        except Unavailable as unavailable:
            refusals[release] = unavailable
            if unavailable.silent_host is not None:
                silent[unavailable.silent_host] = unavailable
    return refusals
