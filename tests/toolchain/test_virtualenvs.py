"""Real uv, real environments, and one package that is made here: nothing is downloaded."""

import hashlib
import io
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from tests.toolchain import fakes
from tests.toolchain.conftest import HERE
from toolchain import locks, versions, virtualenvs
from toolchain.console import Console
from toolchain.errors import ToolchainError
from toolchain.layout import Layout

QUIET = Console(io.StringIO())


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    uv = virtualenvs.uv(HERE, os.environ, QUIET)
    return {"PATH": f"{uv.parent}:/usr/bin:/bin", "UV_CACHE_DIR": str(tmp_path / "uv"), "HOME": str(tmp_path)}


def requirement(folder: Path, name: str, version: str = "1.0") -> str:
    """One locked line for a wheel with one module."""
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(wheel, "w") as files:
        files.writestr(f"{name}.py", f"version = {version!r}\n")
        files.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        files.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        files.writestr(f"{info}/RECORD", "")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return f"{name} @ {wheel.as_uri()} --hash=sha256:{digest}\n"


def lock(layout: Layout, locked: locks.LockedSet, *lines: str) -> None:
    path = layout.root / locked.file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(lines), encoding="utf-8")


def version(layout: Layout, name: str) -> str | None:
    """The version that the operator's environment has, or None."""
    code = f"import {name}; print({name}.version)"
    said = subprocess.run([layout.venv / "bin" / "python", "-c", code], capture_output=True, text=True, check=False)
    return said.stdout.strip() or None


def test_a_set_is_installed_once_and_then_needs_nothing(
    layout: Layout, tmp_path: Path, environ: dict[str, str]
) -> None:
    lock(layout, locks.OPERATOR, requirement(tmp_path, "engine"))
    virtualenvs.install(layout, locks.OPERATOR, environ, QUIET)
    assert version(layout, "engine") == "1.0"
    virtualenvs.install(layout, locks.OPERATOR, {"PATH": "/nowhere"}, QUIET)


def test_a_changed_lock_is_followed_and_what_it_dropped_goes(
    layout: Layout, tmp_path: Path, environ: dict[str, str]
) -> None:
    lock(layout, locks.OPERATOR, requirement(tmp_path, "engine"), requirement(tmp_path, "extra"))
    virtualenvs.install(layout, locks.OPERATOR, environ, QUIET)
    lock(layout, locks.OPERATOR, requirement(tmp_path, "engine", "2.0"))
    virtualenvs.install(layout, locks.OPERATOR, environ, QUIET)
    assert (version(layout, "engine"), version(layout, "extra")) == ("2.0", None)


def test_a_user_command_does_not_take_the_developers_tools_away(
    layout: Layout, tmp_path: Path, environ: dict[str, str]
) -> None:
    lock(layout, locks.OPERATOR, requirement(tmp_path, "engine"))
    lock(layout, locks.DEV, requirement(tmp_path, "engine"), requirement(tmp_path, "checker"))
    virtualenvs.install(layout, locks.DEV, environ, QUIET)
    virtualenvs.install(layout, locks.OPERATOR, {"PATH": "/nowhere"}, QUIET)

    lock(layout, locks.OPERATOR, requirement(tmp_path, "engine", "2.0"))
    lock(layout, locks.DEV, requirement(tmp_path, "engine", "2.0"), requirement(tmp_path, "checker"))
    virtualenvs.install(layout, locks.OPERATOR, environ, QUIET)
    assert (version(layout, "engine"), version(layout, "checker")) == ("2.0", "1.0")


@pytest.mark.parametrize("damage", ["no stamp", "half a stamp", "no interpreter"])
def test_a_half_made_environment_is_made_again(
    layout: Layout, tmp_path: Path, environ: dict[str, str], damage: str
) -> None:
    lock(layout, locks.OPERATOR, requirement(tmp_path, "engine"))
    virtualenvs.install(layout, locks.OPERATOR, environ, QUIET)
    stamp, interpreter = layout.venv / virtualenvs.STAMP, layout.venv / "bin" / "python"
    if damage == "half a stamp":
        stamp.write_text('{"set": "oper')
    else:
        (stamp if damage == "no stamp" else interpreter).unlink()
    (layout.venv / "left-by-the-killed-run").touch()
    virtualenvs.install(layout, locks.OPERATOR, environ, QUIET)
    assert version(layout, "engine") == "1.0"
    assert not (layout.venv / "left-by-the-killed-run").exists()


def test_an_environment_is_not_trusted_after_its_installation_was_killed(layout: Layout, tmp_path: Path) -> None:
    slow = fakes.executable(
        tmp_path / "slow" / "uv",
        f'[ "$1" = --version ] && echo "uv 99.0.0" && exit\n'
        f'[ "$1" = venv ] && mkdir -p "{layout.venv}/bin" && touch "{layout.venv}/bin/python" && exit\n'
        f'touch "{tmp_path}/syncing"; sleep 60',
    )
    lock(layout, locks.OPERATOR, "engine==1.0\n")
    code = (
        "import os, sys, pathlib\nfrom toolchain import locks, virtualenvs\n"
        "from toolchain.console import Console\nfrom toolchain.layout import Layout\n"
        "layout = Layout(root=pathlib.Path(sys.argv[1]), cache=pathlib.Path(sys.argv[2]))\n"
        "virtualenvs.install(layout, locks.OPERATOR, os.environ, Console())\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(layout.root), str(layout.cache)],
        cwd=HERE.root,
        env={"PATH": f"{slow.parent}:/usr/bin:/bin"},
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 20
    while not (tmp_path / "syncing").exists():
        assert time.monotonic() < deadline, "the installation never began"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (layout.venv / "bin" / "python").exists()
    assert not (layout.venv / virtualenvs.STAMP).exists()


def test_a_checkout_in_which_ray_could_not_start_is_refused_before_five_gigabytes_are_installed(
    layout: Layout, environ: dict[str, str]
) -> None:
    lock(layout, locks.SERVING, "ray==1.0\n")
    with pytest.raises(ToolchainError, match="path has a space"):
        virtualenvs.install(layout, locks.SERVING, environ, QUIET)


def test_a_package_that_is_not_the_locked_one_is_refused(
    layout: Layout, tmp_path: Path, environ: dict[str, str]
) -> None:
    line = requirement(tmp_path, "engine")
    lock(layout, locks.OPERATOR, re.sub(r"sha256:\w+", f"sha256:{'0' * 64}", line))
    with pytest.raises(ToolchainError, match=r"[Hh]ash mismatch"):
        virtualenvs.install(layout, locks.OPERATOR, environ, QUIET)
    assert version(layout, "engine") is None
    lock(layout, locks.OPERATOR, line)
    virtualenvs.install(layout, locks.OPERATOR, environ, QUIET)
    assert version(layout, "engine") == "1.0", "a failed installation is not repaired by the next"


@pytest.mark.parametrize("script", ['echo "uv 0.1.0"', "exit 127", 'echo "pyenv: uv: command not found"'])
def test_an_old_or_broken_uv_on_path_is_passed_over(layout: Layout, tmp_path: Path, script: str) -> None:
    theirs = fakes.executable(tmp_path / "bin" / "uv", script)
    home = layout.cache / "uv" / f"{versions.UV}-python{versions.dotted(sys.version_info[:2])}"
    ours = fakes.executable(home / "bin" / "uv", "exit 0")
    (home / virtualenvs.STAMP).touch()
    assert virtualenvs.uv(layout, {"PATH": f"{theirs.parent}:/usr/bin:/bin"}, QUIET) == ours


def test_a_recent_uv_on_path_is_used(layout: Layout, tmp_path: Path) -> None:
    theirs = fakes.executable(tmp_path / "bin" / "uv", f'echo "uv {versions.UV} (test)"')
    assert virtualenvs.uv(layout, {"PATH": f"{theirs.parent}:/usr/bin:/bin"}, QUIET) == theirs


def test_pips_index_is_handed_to_uv_unless_uv_has_its_own() -> None:
    assert virtualenvs.uv_environment({"PIP_INDEX_URL": "mine"})["UV_DEFAULT_INDEX"] == "mine"
    both = {"PIP_INDEX_URL": "mine", "UV_DEFAULT_INDEX": "uv's"}
    assert virtualenvs.uv_environment(both)["UV_DEFAULT_INDEX"] == "uv's"
    assert "UV_DEFAULT_INDEX" not in virtualenvs.uv_environment({})


@pytest.mark.parametrize("name", [*(locked.file for locked in locks.SETS), locks.UV_LOCK])
def test_locks_pin_and_hash_everything_and_name_no_index(name: str) -> None:
    text = (HERE.root / name).read_text(encoding="utf-8")
    entries = re.findall(r"^(\S+)==(\S+)[^\n]*\\\n((?:    --hash=sha256:\w{64}(?: \\)?\n)+)", text, re.MULTILINE)
    lines = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
    assert len(entries) == len(lines), "a line without an exact version or without hashes"
    assert "://" not in text, "where packages come from is each machine's own setting"


def test_the_serving_lock_has_no_pulumi() -> None:
    text = (HERE.root / locks.SERVING.file).read_text(encoding="utf-8")
    assert re.search(r"^ray==", text, re.MULTILINE)
    assert not re.search(r"^pulumi", text, re.MULTILINE), "the serving container would carry the operator's program"
