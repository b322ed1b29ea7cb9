"""The engine's CPU kernels (`kernels/`): compiled once a machine, installed beside the serving code.

They are no condition for anything: where they cannot be compiled that is said, and the engine runs on PyTorch's own
operators.
"""

import hashlib
import platform
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from toolchain import versions, virtualenvs
from toolchain.commands import answer, run
from toolchain.console import Console
from toolchain.errors import ToolchainError
from toolchain.exclusive import exclusive
from toolchain.layout import Layout

_MACHINES = ("x86_64", "AMD64")
_COMPILERS = ("c++", "g++", "clang++")
_SLOWER = "the engine runs without them, several times slower in bfloat16 on a CPU"


def install(layout: Layout, environ: Mapping[str, str], console: Console) -> None:
    """Make the serving environment hold the kernels of this checkout, if they can be compiled."""
    if platform.machine() not in _MACHINES:
        return
    compiler = _compiler(environ)
    key = _key(layout, compiler, environ)
    stamp = layout.venv_serving / virtualenvs.KERNELS_STAMP
    if _held(stamp) == key:
        return
    with exclusive(layout.private / f"{layout.venv_serving.name}.lock", console, "installing the CPU kernels"):
        if _held(stamp) == key:
            return
        if compiler is None:
            _say_without(console, "there is no C++ compiler", "install one (Debian and Ubuntu: `apt install g++`)")
        else:
            try:
                _install(layout, _wheel(layout, key, environ, console), environ, console)
            except ToolchainError as error:
                # not noted down: a full disk, say, has nothing to do with the key, and may be mended the next time
                _say_without(console, str(error), error.way_out)
                return
        stamp.write_text(f"{key}\n", encoding="utf-8")


def _say_without(console: Console, why: str, way_out: str) -> None:
    console.say(f"CPU kernels: {why}\n  {_SLOWER}; to have them, {way_out}, and run this again")


def _compiler(environ: Mapping[str, str]) -> str | None:
    """As setuptools looks for it."""
    names = (environ["CXX"],) if environ.get("CXX") else _COMPILERS
    found = (shutil.which(name, path=environ.get("PATH", "")) for name in names)
    return next((path for path in found if path), None)


def _key(layout: Layout, compiler: str | None, environ: Mapping[str, str]) -> str:
    """Of everything that the compiled kernels depend on, and of the environment that they are installed into."""
    digest = hashlib.sha256()
    for path in _sources(layout):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    torch = sorted(each.name for each in layout.venv_serving.glob("lib/python*/site-packages/torch-*.dist-info"))
    compiled_by = (answer([compiler, "--version"], env=environ) or "") if compiler else "none"
    digest.update("\0".join((*torch, versions.dotted(sys.version_info[:2]), compiled_by)).encode())
    return digest.hexdigest()


def _sources(layout: Layout) -> list[Path]:
    return sorted(
        path
        for path in (layout.root / "kernels").rglob("*")
        if path.suffix in (".cpp", ".h", ".inl", ".py", ".toml") and "build" not in path.parts
    )


def _held(stamp: Path) -> str | None:
    return stamp.read_text(encoding="utf-8").strip() if stamp.exists() else None


def _wheel(layout: Layout, key: str, environ: Mapping[str, str], console: Console) -> Path:
    """From the cache, or compiled into it."""
    folder = layout.cache / "kernels" / key[:16]
    with exclusive(folder.with_name(f"{folder.name}.lock"), console, "compiling the CPU kernels"):
        if found := list(folder.glob("*.whl")):
            return found[0]
        with (
            console.step("Compiling the CPU kernels", usual="1 to 2 minutes on two cores, once per machine"),
            tempfile.TemporaryDirectory(prefix="modelyard-kernels-") as made,
        ):
            source = Path(made) / "kernels"
            shutil.copytree(layout.root / "kernels", source, ignore=shutil.ignore_patterns("build", "*.egg-info"))
            run(
                [
                    *(virtualenvs.uv(layout, environ, console), "build", "--wheel", "--no-build-isolation"),
                    *("--python", layout.venv_serving / "bin" / "python", "--out-dir", Path(made) / "out", source),
                ],
                env=virtualenvs.uv_environment(environ),
                way_out="read what the compiler said above",
            )
            [wheel] = (Path(made) / "out").glob("*.whl")
            folder.mkdir(parents=True, exist_ok=True)
            partial = folder / f"{wheel.name}.partial"
            shutil.copyfile(wheel, partial)
            return partial.rename(folder / wheel.name)


def _install(layout: Layout, wheel: Path, environ: Mapping[str, str], console: Console) -> None:
    program = virtualenvs.uv(layout, environ, console)
    run(
        [
            *(program, "pip", "install", "--quiet", "--no-deps", "--no-index", "--reinstall"),
            *("--python", layout.venv_serving / "bin" / "python", wheel),
        ],
        env=virtualenvs.uv_environment(environ),
        way_out="remove .venv-serving",
    )
