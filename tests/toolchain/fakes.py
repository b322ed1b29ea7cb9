"""Stand-ins for programs of the machine: real executables, so that PATH, processes and signals are real too."""

import hashlib
import io
import tarfile
from dataclasses import dataclass
from pathlib import Path

from toolchain import versions
from toolchain.pulumi_cli import PROGRAMS

HELPERS = PROGRAMS[1:]


def executable(path: Path, script: str) -> Path:
    """A shell script that can be run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def pulumi(folder: Path, version: str = versions.PULUMI, helpers: tuple[str, ...] = HELPERS) -> Path:
    """A folder with a `pulumi` that knows its version, and what belongs beside it."""
    executable(folder / "pulumi", f"echo v{version}")
    for name in helpers:
        executable(folder / name, "exit 0")
    return folder


def go(folder: Path, sdk: Path, *, before_build: str = ":") -> Path:
    """A folder with a `go` whose build writes a script; it appends a line to `builds` for each build that it began.

    Every module is said to lie in `sdk`.
    """
    for kind in ("pkg/apis/crds/nodepools.yaml", "kwok/apis/crds/classes.yaml", "config/crd/bases/rayservices.yaml"):
        (sdk / kind).parent.mkdir(parents=True, exist_ok=True)
        (sdk / kind).write_text(f"kind: {kind}\n", encoding="utf-8")
    for script in ("python/cmd/pulumi-language-python-exec", "python/dist/pulumi-resource-pulumi-python"):
        executable(sdk / script, "exit 0").chmod(0o444)
    executable(
        folder / "go",
        f"""
case "$1" in
  version) echo "go version go1.26.1 linux/amd64" ;;
  env) echo "{sdk}/no-such-module-cache" ;;
  list) echo "{sdk}" ;;
  build)
    echo "$PWD GOFLAGS=$GOFLAGS GOCACHE=$GOCACHE" >> "{folder}/builds"
    mkdir -p "$GOMODCACHE/read-only" && touch "$GOMODCACHE/read-only/file" && chmod 555 "$GOMODCACHE/read-only"
    {before_build}
    while [ "$1" != -o ]; do shift; done
    printf '#!/bin/sh\\necho v{versions.PULUMI}\\n' > "$2" ;;
esac""",
    )
    return folder


def builds(folder: Path) -> list[str]:
    """One line for each build that the fake `go` in `folder` began."""
    log = folder / "builds"
    return log.read_text(encoding="utf-8").splitlines() if log.exists() else []


@dataclass(frozen=True, kw_only=True)
class Archive:
    """A release archive and what its list of checksums says."""

    content: bytes
    checksums: str


def archive(name: str, programs: tuple[str, ...] = PROGRAMS) -> Archive:
    """An archive laid out as Pulumi's own, with one program more than is wanted."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as files:
        for program in (*programs, "pulumi-language-go"):
            content = f"#!/bin/sh\necho v{versions.PULUMI}\n".encode()
            member = tarfile.TarInfo(f"pulumi/{program}")
            member.size = len(content)
            files.addfile(member, io.BytesIO(content))
    content = buffer.getvalue()
    return Archive(content=content, checksums=f"{hashlib.sha256(content).hexdigest()}  {name}\n{'0' * 64}  other.zip\n")
