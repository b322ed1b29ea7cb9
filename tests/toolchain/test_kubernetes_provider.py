import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.toolchain import fakes
from toolchain import kubernetes_provider, program_cache, versions
from toolchain.console import Console
from toolchain.errors import ToolchainError
from toolchain.kubernetes_provider import PLUGIN, PROGRAM
from toolchain.layout import Layout
from toolchain.official import Release
from toolchain.program_sets import BIN, KUBERNETES, PULUMI


def environ(tmp_path: Path, *folders: Path) -> dict[str, str]:
    """A home without plugins, and a PATH without a provider."""
    return {"PATH": os.pathsep.join([*map(str, folders), "/usr/bin:/bin"]), "HOME": str(tmp_path / "home")}


def quiet() -> Console:
    return Console(io.StringIO())


def test_a_provider_on_path_is_used(layout: Layout, tmp_path: Path, unreachable: Release) -> None:
    theirs = fakes.executable(tmp_path / "theirs" / PROGRAM, "exit 0").parent
    found = kubernetes_provider.provide(layout, environ(tmp_path, theirs), quiet(), unreachable)
    assert found.folder == theirs
    assert str(theirs) in found.origin, "which way was taken is not said"


@pytest.mark.parametrize("variable", ["PULUMI_HOME", None])
def test_an_installed_plugin_is_used(
    layout: Layout, tmp_path: Path, unreachable: Release, variable: str | None
) -> None:
    mine = environ(tmp_path)
    home = tmp_path / "pulumi-home" if variable else tmp_path / "home" / ".pulumi"
    if variable:
        mine[variable] = str(home)
    fakes.executable(home / "plugins" / PLUGIN / PROGRAM, "exit 0")
    found = kubernetes_provider.provide(layout, mine, quiet(), unreachable)
    assert found.folder == home / "plugins" / PLUGIN


@pytest.mark.parametrize("spoilt", ["another version", "half installed"])
def test_a_plugin_that_does_not_serve_is_passed_over(layout: Layout, tmp_path: Path, spoilt: str) -> None:
    plugins = tmp_path / "home" / ".pulumi" / "plugins"
    name = "resource-kubernetes-v4.0.0" if spoilt == "another version" else PLUGIN
    fakes.executable(plugins / name / PROGRAM, "exit 0")
    if spoilt == "half installed":
        (plugins / f"{PLUGIN}.partial").touch()
    assert kubernetes_provider.find(layout, environ(tmp_path)) is None


def test_it_is_built_where_there_is_no_release_and_found_from_then_on(
    layout: Layout, tmp_path: Path, unreachable: Release
) -> None:
    go = fakes.go(tmp_path / "go", tmp_path / "sdk")
    mine, log = environ(tmp_path, go), io.StringIO()
    assert kubernetes_provider.find(layout, mine) is None, "`make env` would wait for a build"
    built = kubernetes_provider.provide(layout, mine, Console(log), unreachable)
    assert "built from source" in built.origin
    assert "no official release" in log.getvalue(), "why it takes minutes is not said"
    assert "minutes on two cores" in log.getvalue(), "how long it takes is not said"
    assert kubernetes_provider.find(layout, mine) == built
    assert kubernetes_provider.provide(layout, mine, quiet(), unreachable) == built
    assert len(fakes.builds(go)) == 1, "what the cache holds was built again"
    on_path = environ(tmp_path, built.folder)
    assert kubernetes_provider.find(layout, on_path) == built, "after `make env` our own is on PATH, and stays ours"


def test_the_official_release_is_taken_where_it_can_be_had(
    layout: Layout, tmp_path: Path, serve: Callable[[dict[str, bytes]], str]
) -> None:
    name = f"pulumi-resource-kubernetes-v{versions.PULUMI_KUBERNETES}-linux-amd64.tar.gz"
    archive = fakes.archive(name, (PROGRAM,))
    address = serve({name: archive.content, "checksums.txt": archive.checksums.encode()})
    release = Release(archive=f"{address}/{name}", checksums=f"{address}/checksums.txt")
    found = kubernetes_provider.provide(layout, environ(tmp_path), quiet(), release)
    assert release.archive in found.origin
    assert [path.name for path in found.folder.iterdir()] == [PROGRAM]


def test_without_any_way_the_error_names_them_all(layout: Layout, tmp_path: Path, unreachable: Release) -> None:
    nothing = {"PATH": str(tmp_path), "HOME": str(tmp_path)}
    with pytest.raises(ToolchainError, match="Go is not on PATH") as caught:
        kubernetes_provider.provide(layout, nothing, quiet(), unreachable)
    assert unreachable.archive in str(caught.value)
    assert "pulumi plugin install resource kubernetes" in caught.value.way_out


def test_the_sets_have_folders_of_their_own(layout: Layout) -> None:
    before = program_cache.folder(layout, PULUMI)
    assert program_cache.folder(layout, KUBERNETES) != before
    with (layout.root / "toolchain" / "kubernetes-provider" / "main.go").open("a") as file:
        file.write("// another program\n")
    assert program_cache.folder(layout, PULUMI) == before, "everybody builds Pulumi again"
    assert (program_cache.folder(layout, KUBERNETES) / BIN).parent.name
