import io
import os
from pathlib import Path

import pytest

from tests.toolchain import fakes
from toolchain import program_cache, pulumi_cli, versions
from toolchain.console import Console
from toolchain.errors import ToolchainError
from toolchain.layout import Layout
from toolchain.official import Release
from toolchain.program_sets import PULUMI

SYSTEM = "/usr/bin:/bin"


def environ(*folders: Path) -> dict[str, str]:
    return {"PATH": os.pathsep.join([*map(str, folders), SYSTEM])}


@pytest.mark.parametrize("version", ["3.259.0", "3.259.7", "3.301.2", "4.0.0"])
def test_a_pulumi_on_path_is_used_from_the_pinned_minor_up(
    layout: Layout, tmp_path: Path, unreachable: Release, version: str
) -> None:
    folder = fakes.pulumi(tmp_path / "theirs", version)
    found = pulumi_cli.provide(layout, environ(folder), Console(io.StringIO()), unreachable)
    assert found.folder == folder
    assert not found.cached
    assert version in found.origin, "which way was taken is not said"


@pytest.mark.parametrize(
    ("version", "helpers", "reason"),
    [
        ("3.258.9", fakes.HELPERS, "older than 3.259"),
        ("2.300.0", fakes.HELPERS, "older than 3.259"),
        ("nonsense", fakes.HELPERS, "does not answer"),
        (versions.PULUMI, (), "no pulumi-language-python "),
        (versions.PULUMI, ("pulumi-language-python",), "no pulumi-language-python-exec"),
        (versions.PULUMI, fakes.HELPERS[:2], "no pulumi-resource-pulumi-python"),
    ],
)
def test_an_unsuitable_pulumi_on_path_is_passed_over_with_the_reason(
    layout: Layout, tmp_path: Path, version: str, helpers: tuple[str, ...], reason: str
) -> None:
    folder = fakes.pulumi(tmp_path / "theirs", version, helpers)
    found = pulumi_cli.on_path(environ(folder), ignore=tmp_path / "cache")
    assert isinstance(found, pulumi_cli.Unsuitable)
    assert reason in found.reason
    assert str(folder) in found.reason, "somebody with two of them must know which"


def test_a_linked_pulumi_finds_what_lies_beside_the_file_it_links_to(layout: Layout, tmp_path: Path) -> None:
    fakes.pulumi(tmp_path / "cellar")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "pulumi").symlink_to(tmp_path / "cellar" / "pulumi")
    found = pulumi_cli.on_path(environ(tmp_path / "bin"), ignore=tmp_path / "cache")
    assert isinstance(found, pulumi_cli.PulumiCli)


def test_the_order_is_path_cache_build(layout: Layout, tmp_path: Path, unreachable: Release) -> None:
    go = fakes.go(tmp_path / "go", tmp_path / "sdk")
    log = io.StringIO()

    built = pulumi_cli.provide(layout, environ(go), Console(log), unreachable)
    assert "built from source" in built.origin
    assert "no official release" in log.getvalue(), "why it takes minutes is not said"
    assert len(fakes.builds(go)) == 2

    again = pulumi_cli.provide(layout, environ(go), Console(log), unreachable)
    assert again == built
    assert len(fakes.builds(go)) == 2, "what the cache holds was built again"

    inside = pulumi_cli.provide(layout, environ(built.folder, go), Console(log), unreachable)
    assert inside == built, "after `make env` our own pulumi is on PATH, and stays ours"

    theirs = fakes.pulumi(tmp_path / "theirs")
    assert pulumi_cli.provide(layout, environ(theirs, go), Console(log), unreachable).folder == theirs


def test_another_lock_is_another_place_in_the_cache(layout: Layout) -> None:
    before = program_cache.folder(layout, PULUMI)
    with (layout.root / "toolchain" / "pulumi" / "go.sum").open("a") as file:
        file.write("example.org/module v1.0.0 h1:AAAA=\n")
    assert program_cache.folder(layout, PULUMI) != before


def test_the_build_keeps_checksums_on_and_its_caches_apart(
    layout: Layout, tmp_path: Path, unreachable: Release
) -> None:
    go = fakes.go(tmp_path / "go", tmp_path / "sdk")
    mine = {**environ(go), "GOFLAGS": "-mod=mod -insecure", "GOCACHE": str(tmp_path / "my-gocache")}
    pulumi_cli.provide(layout, mine, Console(io.StringIO()), unreachable)
    for line in fakes.builds(go):
        assert "-trimpath -mod=readonly" in line
        assert "-insecure" not in line, "a module that go.sum does not know would be accepted"
        assert "my-gocache" not in line, "the person's own build cache grows by gigabytes"


def test_without_go_the_error_says_what_to_install(layout: Layout, tmp_path: Path, unreachable: Release) -> None:
    nothing = {"PATH": str(tmp_path)}
    with pytest.raises(ToolchainError, match="Go is not on PATH") as caught:
        pulumi_cli.provide(layout, nothing, Console(io.StringIO()), unreachable)
    assert "https://go.dev/dl/" in caught.value.way_out
    assert "https://www.pulumi.com/docs/install/" in caught.value.way_out
    assert unreachable.checksums in str(caught.value), "why the official release was not taken is not said"


def test_a_failed_build_shows_what_the_compiler_said(layout: Layout, tmp_path: Path, unreachable: Release) -> None:
    go = fakes.go(
        tmp_path / "go", tmp_path / "sdk", before_build='echo "verifying module: checksum mismatch" >&2; exit 1'
    )
    with pytest.raises(ToolchainError, match="checksum mismatch"):
        pulumi_cli.provide(layout, environ(go), Console(io.StringIO()), unreachable)
    assert not program_cache.folder(layout, PULUMI).exists()
