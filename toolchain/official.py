"""Official releases: archives and programs, each checked against the checksums that its release lists."""

import hashlib
import platform
import shutil
import tarfile
import urllib.error
import urllib.parse
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

    def __init__(self, cause: str, silent_host: str | None = None) -> None:
        super().__init__(cause)
        self.silent_host = silent_host
        """The host that gave no answer at all, so that nothing else need be asked of it."""


@dataclass(frozen=True, kw_only=True)
class Release:
    """Where one release lies: a .tar.gz archive, or a program itself.

    The checksums are a list that names the file, or the one checksum alone; mostly they come from another host.
    """

    archive: str
    checksums: str
    size: str = "60 MB"
    programs: tuple[str, ...] = ()
    """What it brings of its set; none named: all."""

    @property
    def hosts(self) -> set[str]:
        """Whom a download asks."""
        return {_host(self.checksums), _host(self.archive)}


def pulumi() -> Release:
    """The pinned release for this machine, named as Pulumi names it."""
    system, machine = _platform()
    machine = {"amd64": "x64"}.get(machine, machine)
    name = f"pulumi-v{versions.PULUMI}-{system}-{machine}.tar.gz"
    return Release(
        archive=f"https://get.pulumi.com/releases/sdk/{name}",
        checksums=(
            f"https://github.com/pulumi/pulumi/releases/download/v{versions.PULUMI}/"
            f"pulumi-{versions.PULUMI}-checksums.txt"
        ),
    )


def kubernetes_provider() -> Release:
    """The pinned release of Pulumi's Kubernetes provider for this machine."""
    version = versions.PULUMI_KUBERNETES
    name = f"pulumi-resource-kubernetes-v{version}-{'-'.join(_platform())}.tar.gz"
    return Release(
        archive=f"https://get.pulumi.com/releases/plugins/{name}",
        checksums=(
            f"https://github.com/pulumi/pulumi-kubernetes/releases/download/v{version}/"
            f"pulumi-kubernetes_{version}_checksums.txt"
        ),
        size="40 MB",
    )


def cluster() -> tuple[Release, ...]:
    """What there is for a test cluster. KWOK publishes programs without checksums, so they are not used."""
    system, machine = _platform()
    etcd = f"https://github.com/etcd-io/etcd/releases/download/v{versions.ETCD}"
    kube = f"https://dl.k8s.io/release/v{versions.KUBERNETES}/bin/{system}/{machine}"
    names = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy")
    return (
        Release(
            archive=f"{etcd}/etcd-v{versions.ETCD}-{system}-{machine}.tar.gz",
            checksums=f"{etcd}/SHA256SUMS",
            size="25 MB",
            programs=("etcd",),
        ),
        *(
            Release(archive=f"{kube}/{name}", checksums=f"{kube}/{name}.sha256", size="50 to 90 MB", programs=(name,))
            for name in names
        ),
    )


def install(wanted: Release, programs: Sequence[str], target: Path, scratch: Path, console: Console, what: str) -> None:
    """Put `programs` of a release into `target`; raises Unavailable if it is out of reach or not as listed.

    Nothing of an archive is unpacked, let alone run, before its checksum is the one that the release lists.
    """
    name = wanted.archive.rsplit("/", 1)[-1]
    archive = scratch / name
    with console.step(f"Downloading {what}", usual=wanted.size):
        listed = _listed_checksum(_text(wanted.checksums), name)
        if listed is None:
            raise Unavailable(f"{wanted.checksums} does not list {name}")
        found = _download(wanted.archive, archive)
        if found != listed:
            raise Unavailable(f"{wanted.archive} has SHA-256 {found}, but {wanted.checksums} lists {listed}")
        if name.endswith(".tar.gz"):
            _unpack(archive, programs, target)
        else:
            [program] = programs
            shutil.copyfile(archive, target / program)


def _platform() -> tuple[str, str]:
    """As Go names it."""
    system = {"Linux": "linux", "Darwin": "darwin"}.get(platform.system(), platform.system().lower())
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return system, machine


def _host(url: str) -> str:
    return urllib.parse.urlsplit(url).netloc


def _listed_checksum(text: str, name: str) -> str | None:
    if len(text.split()) == 1:
        return text.strip().lower()
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
        raise _unreadable(url, error) from error


def _download(url: str, path: Path) -> str:
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as response, path.open("wb") as file:
            shutil.copyfileobj(response, file, 1 << 20)
    except OSError as error:
        raise _unreadable(url, error) from error
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


def _unreadable(url: str, error: OSError) -> Unavailable:
    silent = None if isinstance(error, urllib.error.HTTPError) else _host(url)
    return Unavailable(f"{url} cannot be read: {_reason(error)}", silent)


def _reason(error: OSError) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"status {error.code}"
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    return reason.strerror or str(reason) if isinstance(reason, OSError) else str(reason)
