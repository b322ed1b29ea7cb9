"""The cache holds all programs or none, whatever ends the run that fills it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.toolchain import fakes
from tests.toolchain.conftest import HERE
from toolchain import program_cache
from toolchain.layout import Layout
from toolchain.official import Release
from toolchain.program_sets import BIN, PULUMI

PROVIDE = """
import os, sys, pathlib
from toolchain import pulumi_cli, __main__
from toolchain.console import Console
from toolchain.layout import Layout
from toolchain.official import Release
import signal
signal.signal(signal.SIGTERM, __main__._stop)
root, cache, url = sys.argv[1:]
layout = Layout(root=pathlib.Path(root), cache=pathlib.Path(cache))
print(pulumi_cli.provide(layout, os.environ, Console(), Release(archive=url, checksums=url)).folder)
"""


def provide(layout: Layout, go: Path, release: Release) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROVIDE, str(layout.root), str(layout.cache), release.archive],
        cwd=HERE.root,
        env={"PATH": f"{go}:/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_builds(go: Path, number: int) -> None:
    deadline = time.monotonic() + 20
    while len(fakes.builds(go)) < number:
        assert time.monotonic() < deadline, "the build never began"
        time.sleep(0.02)


def wait_for_text(path: Path) -> str:
    deadline = time.monotonic() + 20
    while not (path.exists() and path.read_text().endswith("\n")):
        assert time.monotonic() < deadline, f"{path.name} was never written"
        time.sleep(0.02)
    return path.read_text()


def left_over(layout: Layout) -> list[str]:
    return [path.name for path in (layout.cache / "toolchain").iterdir() if not path.name.endswith(".lock")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_build_leaves_neither_files_nor_processes(
    layout: Layout, tmp_path: Path, unreachable: Release, number: signal.Signals
) -> None:
    go = fakes.go(tmp_path / "go", tmp_path / "sdk", before_build=f'echo $$ > "{tmp_path}/pid"; sleep 60')
    process = provide(layout, go, unreachable)
    compiler = wait_for_text(tmp_path / "pid")
    process.send_signal(number)
    process.communicate(timeout=20)
    assert process.returncode != 0
    assert left_over(layout) == [], "a half-filled cache, or gigabytes of build cache"
    with pytest.raises(ProcessLookupError):
        os.kill(int(compiler), 0)


def test_after_a_killed_build_the_next_one_starts_clean(layout: Layout, tmp_path: Path, unreachable: Release) -> None:
    go = fakes.go(tmp_path / "go", tmp_path / "sdk", before_build='[ -e "$0.fast" ] || sleep 5')
    process = provide(layout, go, unreachable)
    wait_for_builds(go, 1)
    process.kill()
    process.communicate(timeout=20)
    assert left_over(layout), "the kill came too late to show anything"

    (go / "go.fast").touch()
    again = provide(layout, go, unreachable)
    assert again.communicate(timeout=30)[0].strip() == str(program_cache.folder(layout, PULUMI) / BIN)
    assert left_over(layout) == [program_cache.folder(layout, PULUMI).name], (
        "what the killed build left is never removed"
    )


def test_two_runs_at_once_build_once(layout: Layout, tmp_path: Path, unreachable: Release) -> None:
    go = fakes.go(tmp_path / "go", tmp_path / "sdk", before_build="sleep 1")
    first, second = provide(layout, go, unreachable), provide(layout, go, unreachable)
    answers = [process.communicate(timeout=60) for process in (first, second)]
    assert {out.strip() for out, _ in answers} == {str(program_cache.folder(layout, PULUMI) / BIN)}
    assert len(fakes.builds(go)) == 2, "two programs, each built once"
    assert any("Waiting for process" in said for _, said in answers), "the one that waits does not say why"


def test_read_only_folders_of_a_failed_build_are_removed(layout: Layout) -> None:
    def fails(_part: Path, scratch: Path) -> str:
        locked = scratch / "gomod" / "module@v1"
        locked.mkdir(parents=True)
        (locked / "file.go").touch()
        locked.chmod(0o555)
        raise RuntimeError("the compiler stumbled")

    with pytest.raises(RuntimeError, match="stumbled"):
        program_cache.fill(program_cache.folder(layout, PULUMI), PULUMI, fails)
    assert left_over(layout) == []
