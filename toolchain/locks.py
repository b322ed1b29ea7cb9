"""The locked sets of Python packages: what each holds, and how `make lock` writes them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from toolchain import PYTHON_MINIMUM, versions
from toolchain.commands import run
from toolchain.console import Console


@dataclass(frozen=True, kw_only=True)
class LockedSet:
    """One lock file; `arguments` are what `uv pip compile` is given for it."""

    name: str
    file: str
    arguments: tuple[str, ...]
    contains: str


OPERATOR = LockedSet(
    name="operator", file="requirements.txt", arguments=("pyproject.toml",), contains="what `pulumi up` runs"
)
DEV = LockedSet(
    name="dev",
    file="requirements/dev.txt",
    arguments=("pyproject.toml", "--group", "dev"),
    contains="the operator's program with its checks and tests",
)
SERVING = LockedSet(
    name="serving",
    file="requirements/serving.txt",
    arguments=("--group", "serving"),
    contains="what runs on GPU nodes, PyTorch included",
)
SERVING_TEST = LockedSet(
    name="serving-test",
    file="requirements/serving-test.txt",
    arguments=("--group", "serving", "--group", "serving-test"),
    contains="what runs on GPU nodes, with its tests",
)
SETS = (OPERATOR, DEV, SERVING, SERVING_TEST)

UV_LOCK = "requirements/uv.txt"
"""uv itself with its hashes, for machines that lack it."""

COMPILE = (
    "pip",
    "compile",
    "--quiet",
    "--universal",
    f"--python-version={versions.dotted(PYTHON_MINIMUM)}",
    "--generate-hashes",
    # A lock names no index: where packages come from is each machine's own setting.
    "--no-emit-index-url",
    "--no-emit-find-links",
    "--custom-compile-command=make lock",
)


def write(root: Path, uv: Path, env: Mapping[str, str], console: Console, *, upgrade: bool) -> None:
    """Write every lock; versions already locked stay unless `upgrade` or pyproject.toml rules them out."""
    extra = ("--upgrade",) if upgrade else ()
    way_out = "read which two requirements disagree above, and change one of them in pyproject.toml"
    for locked in SETS:
        with console.step(f"Locking {locked.file}"):
            run(
                [uv, *COMPILE, *extra, *locked.arguments, "--output-file", locked.file],
                env=env,
                cwd=root,
                way_out=way_out,
            )
    source = root / "requirements" / "uv.in"
    source.write_text(f"uv=={versions.UV}\n", encoding="utf-8")
    try:
        with console.step(f"Locking {UV_LOCK}"):
            run([uv, *COMPILE, source, "--no-annotate", "--output-file", UV_LOCK], env=env, cwd=root, way_out=way_out)
    finally:
        source.unlink()
