"""Builds Pulumi and its Python language host from the go.mod and go.sum files beside this module."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from toolchain import versions
from toolchain.commands import answer, run
from toolchain.console import Console
from toolchain.errors import ToolchainError

SDK = "github.com/pulumi/pulumi/sdk/v3"
VERSION_VARIABLE = f"{SDK}/go/common/version.Version"
SCRIPTS = ("python/cmd/pulumi-language-python-exec", "python/dist/pulumi-resource-pulumi-python")
"""Files of the SDK's module that are no Go programs; a module's zip keeps no execute bit."""

SPACE_NEEDED = 6 << 30
"""Bytes: Go's caches for one build, thrown away afterwards."""

GET_GO = (
    "install Go 1.21 or later from https://go.dev/dl/ (unpack it in your home folder, put its bin folder on PATH), "
    "or install Pulumi yourself from https://www.pulumi.com/docs/install/"
)


@dataclass(frozen=True, kw_only=True)
class Program:
    """One Go program: the folder of its go.mod, its package, and what is set at build time."""

    name: str
    module: str
    package: str
    version: str
    usual: str
    tags: str = ""


PROGRAMS = (
    Program(
        name="pulumi-language-python",
        module="language-python",
        package="github.com/pulumi/pulumi/sdk/python/cmd/pulumi-language-python/v3",
        version=versions.LANGUAGE_HOST,
        usual="about 1 minute on two cores, once per machine",
    ),
    Program(
        name="pulumi",
        module="pulumi",
        package="github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
        version=versions.PULUMI,
        usual="5 to 8 minutes on two cores, once per machine",
        tags="osusergo,grpcnotrace",
    ),
)


def build(modules: Path, target: Path, scratch: Path, environ: Mapping[str, str], console: Console) -> None:
    """Build all programs into `target`. Go's caches lie in `scratch`, which the caller removes.

    Raises ToolchainError if Go is missing or too old, if there is no space, or if a build fails.
    """
    go = _go(environ)
    free = shutil.disk_usage(scratch).free
    if free < SPACE_NEEDED:
        raise ToolchainError(
            f"{scratch.parent.parent} has {free >> 20} MiB free, and building Pulumi takes {SPACE_NEEDED >> 20} MiB "
            "for a few minutes",
            "free some space, or set XDG_CACHE_HOME to a folder on another disk",
        )
    env = environment(go, scratch, environ)
    way_out = f"if a module could not be downloaded, check the network and `go env GOPROXY` and try again; or {GET_GO}"
    for program in PROGRAMS:
        with console.step(f"Building {program.name} {program.version} from source", usual=program.usual):
            flags = f"-s -w -X {VERSION_VARIABLE}=v{program.version}"
            run(
                [
                    go,
                    "build",
                    f"-tags={program.tags}",
                    f"-ldflags={flags}",
                    "-o",
                    target / program.name,
                    program.package,
                ],
                env=env,
                cwd=modules / program.module,
                way_out=way_out,
            )
    sdk = run([go, "list", "-m", "-f", "{{.Dir}}", SDK], env=env, cwd=modules / "pulumi", way_out=way_out).strip()
    for script in SCRIPTS:
        shutil.copyfile(Path(sdk) / script, target / Path(script).name)


def environment(go: str, scratch: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """What `go build` runs with: the person's own proxy and checksum database, and caches to throw away."""
    for name in ("gocache", "gotmp"):
        (scratch / name).mkdir(exist_ok=True)
    env = {
        **environ,
        "CGO_ENABLED": "0",  # as Pulumi's own releases: the same programs with and without a C compiler
        "GOCACHE": str(scratch / "gocache"),
        "GOFLAGS": f"-trimpath -mod=readonly -p={parallelism()}",
        "GOTMPDIR": str(scratch / "gotmp"),
        "GOWORK": "off",  # a go.work above the checkout must not change the build
    }
    modules = answer([go, "env", "GOMODCACHE"], env=environ)
    if modules is None or not Path(modules.strip()).is_dir():
        # Somebody who writes Go shares downloaded modules with us; for anybody else nothing is left behind.
        env["GOMODCACHE"] = str(scratch / "gomod")
    return env


def parallelism() -> int:
    """How many packages are compiled at once: one a core, with 2 GiB of memory for each."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(1, min(os.cpu_count() or 1, memory >> 31))


def _go(environ: Mapping[str, str]) -> str:
    go = shutil.which("go", path=environ.get("PATH", ""))
    if go is None:
        raise ToolchainError("Go is not on PATH", GET_GO)
    said = answer([go, "version"], env={**environ, "GOTOOLCHAIN": "local"})
    version = versions.parse(said or "")
    if version is None:
        raise ToolchainError(f"{go} does not answer `go version`", GET_GO)
    if version < versions.GO_MINIMUM:
        raise ToolchainError(
            f"{go} is {versions.dotted(version)}, which cannot fetch the Go that Pulumi {versions.PULUMI} needs", GET_GO
        )
    return go
