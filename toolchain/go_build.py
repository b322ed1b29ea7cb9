"""Builds programs from the go.mod and go.sum files beside this module."""

import os
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path

from toolchain import versions
from toolchain.commands import answer, run
from toolchain.console import Console
from toolchain.errors import ToolchainError
from toolchain.program_sets import BIN, ModuleFiles, Program, ProgramSet

GET_GO = (
    "install Go 1.21 or later from https://go.dev/dl/ (unpack it in your home folder, put its bin folder on PATH), or "
)


def build(
    wanted: ProgramSet,
    names: Collection[str],
    modules: Path,
    home: Path,
    scratch: Path,
    environ: Mapping[str, str],
    console: Console,
) -> None:
    """Build those programs of a set that `names` names into `home`/bin, and add the set's files that are no programs.

    `modules` holds the folders of the go.mod files. Go's caches lie in `scratch`, which the caller removes.
    Raises ToolchainError if Go is missing or too old, if there is no space, or if a build fails.
    """
    get_go = f"{GET_GO}{wanted.otherwise}"
    go = _go(wanted, environ, get_go)
    free = shutil.disk_usage(scratch).free
    if free < wanted.space:
        raise ToolchainError(
            f"{scratch.parent.parent} has {free >> 20} MiB free, and building {wanted.title} takes "
            f"{wanted.space >> 20} MiB for a few minutes",
            "free some space, or set XDG_CACHE_HOME to a folder on another disk",
        )
    env = environment(go, scratch, environ)
    way_out = f"if a module could not be downloaded, check the network and `go env GOPROXY` and try again; or {get_go}"
    for program in wanted.programs:
        if program.name in names:
            with console.step(f"Building {program.name} {program.version} from source", usual=program.usual):
                run(_argv(go, program, home / BIN), env=env, cwd=modules / program.module, way_out=way_out)
    for files in wanted.files:
        if not files.programs or not all((home / BIN / name).exists() for name in files.programs):
            argv = [go, "list", "-m", "-f", "{{.Dir}}", files.of]
            source = run(argv, env=env, cwd=modules / files.module, way_out=way_out).strip()
            _copy(files, Path(source), home)


def environment(go: str, scratch: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """What `go build` runs with: the person's own proxy and checksum database, and caches to throw away."""
    for name in ("gocache", "gotmp"):
        (scratch / name).mkdir(exist_ok=True)
    env = {
        **environ,
        "CGO_ENABLED": "0",  # as official releases: the same programs with and without a C compiler
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


def _argv(go: str, program: Program, target: Path) -> list[str | Path]:
    flags = " ".join(["-s -w", *(f"-X {name}={value}" for name, value in program.variables)])
    options = [f"-tags={program.tags}", f"-ldflags={flags}"]
    return [go, "build", *options, "-o", target / program.name, program.package]


def _copy(files: ModuleFiles, source: Path, home: Path) -> None:
    (home / files.folder).mkdir(exist_ok=True)
    for pattern in files.patterns:
        for path in sorted(source.glob(pattern)):
            shutil.copyfile(path, home / files.folder / path.name)


def _go(wanted: ProgramSet, environ: Mapping[str, str], get_go: str) -> str:
    go = shutil.which("go", path=environ.get("PATH", ""))
    if go is None:
        raise ToolchainError("Go is not on PATH", get_go)
    said = answer([go, "version"], env={**environ, "GOTOOLCHAIN": "local"})
    version = versions.parse(said or "")
    if version is None:
        raise ToolchainError(f"{go} does not answer `go version`", get_go)
    if version < versions.GO_MINIMUM:
        raise ToolchainError(
            f"{go} is {versions.dotted(version)}, which cannot fetch the Go that building {wanted.title} needs", get_go
        )
    return go
