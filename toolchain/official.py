"""Pulumi's official release: one archive, checked against the release's own list of checksums."""

import hashlib
import platform
import shutil
import tarfile
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from toolchain import versions
from toolchain.console import Console

TIMEOUT_SECONDS = 5.0
"""For connecting and between two pieces of data, so that a machine without a network goes on after seconds."""


class Unavailable(Exception):
    """The release cannot be had here; `str()` says why. Another way has to be taken."""


@dataclass(frozen=True, kw_only=True)
class Release:
    """Where one release lies. The checksums come from another host than the archive."""

    archive: str
    checksums: str


def release() -> Release:
    """The pinned release for this machine, named as Pulumi names it."""
    system = {"Linux": "linux", "Darwin": "darwin"}.get(platform.system(), platform.system().lower())
    machine = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    name = f"pulumi-v{versions.PULUMI}-{system}-{machine}.tar.gz"
    return Release(
        archive=f"https://get.pulumi.com/releases/sdk/{name}",
        checksums=(
            f"https://github.com/pulumi/pulumi/releases/download/v{versions.PULUMI}/"
            f"pulumi-{versions.PULUMI}-checksums.txt"
        ),
    )


def install(wanted: Release, programs: Sequence[str], target: Path, scratch: Path, console: Console) -> None:
    """Put `programs` of a release into `target`; raises Unavailable if it is out of reach or not as listed.

    Nothing of an archive is unpacked, let alone run, before its checksum is the one that the release lists.
    """
    name = wanted.archive.rsplit("/", 1)[-1]
    archive = scratch / name
    with console.step(f"Downloading Pulumi {versions.PULUMI}", usual="60 MB"):
        listed = _listed_checksum(_text(wanted.checksums), name)
        if listed is None:
            raise Unavailable(f"{wanted.checksums} does not list {name}")
        found = _download(wanted.archive, archive)
        if found != listed:
            raise Unavailable(f"{wanted.archive} has SHA-256 {found}, but {wanted.checksums} lists {listed}")
        _unpack(archive, programs, target)


def _listed_checksum(text: str, name: str) -> str | None:
    for line in text.splitlines():
        words = line.split()
        if len(words) == 2 and words[1].lstrip("*") == name:
            return words[0].lower()
    return None


def _text(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as response:
            return response.read(1_000_000).decode(errors="replace")
    except OSError as error:
        raise Unavailable(f"{url} cannot be read: {_reason(error)}") from error


def _download(url: str, path: Path) -> str:
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as response, path.open("wb") as file:
            shutil.copyfileobj(response, file, 1 << 20)
    except OSError as error:
        raise Unavailable(f"{url} cannot be read: {_reason(error)}") from error
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _unpack(archive: Path, programs: Sequence[str], target: Path) -> None:
    # Members are copied out by their last name, so no path that an archive contains decides where anything is written.
    missing = set(programs)
    try:
        with tarfile.open(archive) as files:
            for member in files:
                name = member.name.rsplit("/", 1)[-1]
                content = files.extractfile(member) if name in missing and member.isfile() else None
                if content is not None:
                    with content, (target / name).open("wb") as file:
                        shutil.copyfileobj(content, file)
                    missing.discard(name)
    except (tarfile.TarError, EOFError) as error:
        raise Unavailable(f"{archive.name} cannot be unpacked: {error}") from error
    if missing:
        raise Unavailable(f"{archive.name} lacks {', '.join(sorted(missing))}")


def _reason(error: OSError) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"status {error.code}"
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    return reason.strerror or str(reason) if isinstance(reason, OSError) else str(reason)
