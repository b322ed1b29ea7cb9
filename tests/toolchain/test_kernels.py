"""When the CPU kernels are compiled, and what is said where they cannot be."""

import io
import shutil
from pathlib import Path

import pytest

from tests.toolchain import fakes
from tests.toolchain.conftest import HERE
from toolchain import kernels, versions
from toolchain.console import Console
from toolchain.layout import Layout


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A checkout with the kernels' sources and an environment that has a torch."""
    root = tmp_path / "checkout"
    shutil.copytree(HERE.root / "kernels", root / "kernels")
    (root / ".venv-serving/lib/python3.11/site-packages/torch-2.13.0.dist-info").mkdir(parents=True)
    return Layout(root=root, cache=tmp_path / "cache")


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder with a compiler and a uv that appends its commands to `calls`."""
    folder = tmp_path / "tools"
    fakes.executable(folder / "c++", "echo a compiler 1.0")
    fakes.executable(
        folder / "uv",
        f"""
[ "$1" = --version ] && {{ echo "uv {versions.UV}"; exit; }}
echo "$*" >> "{folder}/calls"
[ "$1" = build ] || exit 0
[ -e "{folder}/broken" ] && {{ echo "kernels.cpp:1: error: no such thing" >&2; exit 1; }}
while [ "$1" != --out-dir ]; do shift; done
mkdir -p "$2" && touch "$2/modelyard_kernels-0.1.0-cp311-cp311-linux_x86_64.whl" """,
    )
    return folder


def install(layout: Layout, tools: Path) -> str:
    """What is said."""
    said = io.StringIO()
    kernels.install(layout, {"PATH": f"{tools}:/nowhere"} | {"HOME": str(tools)}, Console(said))
    return said.getvalue()


def calls(tools: Path) -> list[str]:
    log = tools / "calls"
    return [line.split()[0] for line in log.read_text(encoding="utf-8").splitlines()] if log.exists() else []


@pytest.fixture(autouse=True)
def _on_x86(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")


@pytest.fixture(autouse=True)
def _shell(tools: Path) -> None:
    """The scripts need these, and no other program of this machine is to be found."""
    for name in ("mkdir", "touch", "sh"):
        (tools / name).symlink_to(shutil.which(name) or "")


def test_they_are_compiled_once_and_then_need_nothing(layout: Layout, tools: Path) -> None:
    assert "Compiling the CPU kernels" in install(layout, tools)
    assert calls(tools) == ["build", "pip"]
    assert install(layout, tools) == ""
    assert calls(tools) == ["build", "pip"]


def test_a_new_environment_takes_them_from_the_cache(layout: Layout, tools: Path) -> None:
    install(layout, tools)
    (layout.venv_serving / "modelyard-kernels").unlink()
    assert install(layout, tools) == ""
    assert calls(tools) == ["build", "pip", "pip"]


def test_changed_sources_are_compiled_again(layout: Layout, tools: Path) -> None:
    install(layout, tools)
    with (layout.root / "kernels/csrc/ops.cpp").open("a", encoding="utf-8") as file:
        file.write("// changed\n")
    install(layout, tools)
    assert calls(tools) == ["build", "pip", "build", "pip"]


def test_another_torch_has_them_compiled_again(layout: Layout, tools: Path) -> None:
    install(layout, tools)
    packages = layout.venv_serving / "lib/python3.11/site-packages"
    (packages / "torch-2.13.0.dist-info").rename(packages / "torch-2.13.1.dist-info")
    install(layout, tools)
    assert calls(tools) == ["build", "pip", "build", "pip"]


def test_without_a_compiler_that_is_said_once_and_mended_when_there_is_one(layout: Layout, tools: Path) -> None:
    (tools / "c++").rename(tools / "hidden")
    said = install(layout, tools)
    assert "there is no C++ compiler" in said
    assert "the engine runs without them" in said
    assert "apt install g++" in said
    assert install(layout, tools) == ""
    (tools / "hidden").rename(tools / "c++")
    assert "Compiling" in install(layout, tools)
    assert calls(tools) == ["build", "pip"]


def test_a_compiler_that_fails_stops_nothing_and_is_tried_again(layout: Layout, tools: Path) -> None:
    (tools / "broken").touch()
    said = install(layout, tools)
    assert "error: no such thing" in said
    assert "the engine runs without them" in said
    assert not list(layout.cache.rglob("*.whl"))
    (tools / "broken").unlink()
    assert "Compiling" in install(layout, tools)
    assert list(layout.cache.rglob("*.whl"))


def test_other_machines_are_left_alone(layout: Layout, tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert install(layout, tools) == ""
    assert calls(tools) == []
