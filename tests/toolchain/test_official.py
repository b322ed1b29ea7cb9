import hashlib
import io
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.toolchain import fakes
from toolchain import official, pulumi_cli
from toolchain.console import Console
from toolchain.layout import Layout
from toolchain.official import Release, Unavailable
from toolchain.pulumi_cli import PROGRAMS

NAME = "pulumi-v3.259.0-linux-x64.tar.gz"
Serve = Callable[[dict[str, bytes]], str]


def published(serve: Serve, archive: fakes.Archive) -> Release:
    address = serve({NAME: archive.content, "checksums.txt": archive.checksums.encode()})
    return Release(archive=f"{address}/{NAME}", checksums=f"{address}/checksums.txt")


def install(release: Release, tmp_path: Path) -> Path:
    for name in ("target", "scratch"):
        (tmp_path / name).mkdir()
    official.install(release, PROGRAMS, tmp_path / "target", tmp_path / "scratch", Console(io.StringIO()), "it")
    return tmp_path / "target"


def test_a_listed_archive_is_installed_and_stays_in_the_cache(
    layout: Layout, serve: Serve, unreachable: Release
) -> None:
    release = published(serve, fakes.archive(NAME))
    nothing = {"PATH": "/usr/bin:/bin"}
    found = pulumi_cli.provide(layout, nothing, Console(io.StringIO()), release)
    assert sorted(path.name for path in found.folder.iterdir()) == sorted(PROGRAMS), "only what is needed is kept"
    assert release.archive in found.origin
    assert pulumi_cli.provide(layout, nothing, Console(io.StringIO()), unreachable) == found


def test_an_archive_that_is_not_the_listed_one_is_not_unpacked(serve: Serve, tmp_path: Path) -> None:
    good = fakes.archive(NAME)
    tampered = fakes.Archive(content=fakes.archive(NAME, PROGRAMS[:1]).content, checksums=good.checksums)
    with pytest.raises(Unavailable, match=r"has SHA-256 .* lists"):
        install(published(serve, tampered), tmp_path)
    assert list((tmp_path / "target").iterdir()) == []


def test_an_archive_that_is_not_listed_is_not_even_downloaded(serve: Serve, tmp_path: Path) -> None:
    unlisted = fakes.Archive(content=fakes.archive(NAME).content, checksums=f"{'0' * 64}  other.tar.gz\n")
    with pytest.raises(Unavailable, match="does not list"):
        install(published(serve, unlisted), tmp_path)
    assert list((tmp_path / "scratch").iterdir()) == []


def test_an_archive_that_lacks_a_program_is_refused(serve: Serve, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="lacks pulumi-resource-pulumi-python"):
        install(published(serve, fakes.archive(NAME, PROGRAMS[:3])), tmp_path)


def test_a_missing_release_says_which_address_answered_what(serve: Serve, tmp_path: Path) -> None:
    address = serve({})
    with pytest.raises(Unavailable, match=r"checksums.txt cannot be read: status 404"):
        install(Release(archive=f"{address}/{NAME}", checksums=f"{address}/checksums.txt"), tmp_path)


def test_without_a_network_it_gives_up_within_seconds(unreachable: Release, tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(Unavailable, match="cannot be read"):
        install(unreachable, tmp_path)
    assert time.monotonic() - started < 6


def test_a_program_without_an_archive_is_checked_against_its_one_checksum(serve: Serve, tmp_path: Path) -> None:
    program = b"#!/bin/sh\necho v1\n"
    for name in ("target", "scratch"):
        (tmp_path / name).mkdir()
    address = serve({"kube-proxy": program, "kube-proxy.sha256": hashlib.sha256(program).hexdigest().encode()})
    release = Release(archive=f"{address}/kube-proxy", checksums=f"{address}/kube-proxy.sha256")
    console = Console(io.StringIO())
    official.install(release, ["kube-proxy"], tmp_path / "target", tmp_path / "scratch", console, "kube-proxy")
    assert (tmp_path / "target" / "kube-proxy").read_bytes() == program

    other = serve({"kube-proxy": program, "kube-proxy.sha256": b"0" * 64})
    wrong = Release(archive=f"{other}/kube-proxy", checksums=f"{other}/kube-proxy.sha256")
    with pytest.raises(Unavailable, match=r"has SHA-256 .* lists"):
        official.install(wrong, ["kube-proxy"], tmp_path / "target", tmp_path / "scratch", console, "kube-proxy")


def test_every_release_has_checksums_and_only_official_hosts() -> None:
    releases = [official.pulumi(), official.kubernetes_provider(), *official.cluster()]
    assert {host for release in releases for host in release.hosts} == {"get.pulumi.com", "github.com", "dl.k8s.io"}
    assert all(release.checksums.startswith("https://") for release in releases)
