import hashlib
import io
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.toolchain import fakes
from toolchain import cluster_programs, program_cache
from toolchain.console import Console
from toolchain.errors import ToolchainError
from toolchain.layout import Layout
from toolchain.official import Release
from toolchain.program_sets import CLUSTER

NAMES = sorted(program.name for program in CLUSTER.programs)
Serve = Callable[[dict[str, bytes]], str]


def environ(*folders: Path) -> dict[str, str]:
    return {"PATH": os.pathsep.join([*map(str, folders), "/usr/bin:/bin"])}


def built(folder: Path) -> list[str]:
    """The folders of the go.mod files whose programs were built, in order."""
    return [Path(line.split(" GOFLAGS")[0]).name for line in fakes.builds(folder)]


def test_everything_is_built_where_there_are_no_releases(layout: Layout, tmp_path: Path, unreachable: Release) -> None:
    go, log = fakes.go(tmp_path / "go", tmp_path / "sdk"), io.StringIO()
    found = cluster_programs.provide(layout, environ(go), Console(log), [unreachable])
    assert sorted(path.name for path in found.bin.iterdir()) == NAMES
    kinds = {path.name for path in found.crds.iterdir()}
    assert kinds == {"nodepools.yaml", "classes.yaml", "rayservices.yaml"}, "the cluster would not know their kinds"
    assert "no official release" in log.getvalue(), "why it takes minutes is not said"
    assert not (found.bin.parent / "scratch").exists(), "gigabytes of Go's caches stay"
    assert cluster_programs.find(layout) == found
    cluster_programs.provide(layout, environ(go), Console(io.StringIO()), [unreachable])
    assert len(built(go)) == len(NAMES), "what the cache holds was built again"


def test_the_caches_of_one_build_serve_the_next(layout: Layout, tmp_path: Path) -> None:
    go = fakes.go(tmp_path / "go", tmp_path / "sdk")
    cluster_programs.provide(layout, environ(go), Console(io.StringIO()), [])
    caches = {line.split("GOCACHE=")[1] for line in fakes.builds(go)}
    assert len(caches) == 1, "what the programs have in common is compiled once for each"


def test_what_is_released_is_downloaded_and_only_the_rest_built(layout: Layout, tmp_path: Path, serve: Serve) -> None:
    program = b"#!/bin/sh\nexit 0\n"
    names = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy")
    checksum = hashlib.sha256(program).hexdigest().encode()
    address = serve({name: program for name in names} | {f"{name}.sha256": checksum for name in names})
    releases = [
        Release(archive=f"{address}/{name}", checksums=f"{address}/{name}.sha256", programs=(name,)) for name in names
    ]
    go = fakes.go(tmp_path / "go", tmp_path / "sdk")
    found = cluster_programs.provide(layout, environ(go), Console(io.StringIO()), releases)
    assert built(go) == ["etcd", "kwok", "karpenter", "kuberay"]
    assert (found.bin / "kube-proxy").read_bytes() == program
    assert os.access(found.bin / "kube-proxy", os.X_OK)
    assert sorted(path.name for path in found.bin.iterdir()) == NAMES
    assert address in found.origin
    assert "kwok, karpenter-kwok, kuberay-operator built from source" in found.origin


def test_a_silent_host_is_asked_once(layout: Layout, tmp_path: Path, unreachable: Release) -> None:
    go, log = fakes.go(tmp_path / "go", tmp_path / "sdk"), io.StringIO()
    several = [
        Release(archive=f"{unreachable.archive}/{name}", checksums=unreachable.checksums, programs=(name,))
        for name in NAMES[:4]
    ]
    started = time.monotonic()
    cluster_programs.provide(layout, environ(go), Console(log), several)
    assert time.monotonic() - started < 10
    assert log.getvalue().count("Downloading") == 2, "without a network each program costs its own time to connect"


def test_a_failed_build_leaves_nothing_and_says_what_else_there_is(layout: Layout, tmp_path: Path) -> None:
    go = fakes.go(
        tmp_path / "go", tmp_path / "sdk", before_build='case "$PWD" in *kwok) echo "no space" >&2; exit 1; esac'
    )
    with pytest.raises(ToolchainError, match="no space") as caught:
        cluster_programs.provide(layout, environ(go), Console(io.StringIO()), [])
    assert "MODELYARD_TEST_KUBECONFIG" in caught.value.way_out
    assert not program_cache.folder(layout, CLUSTER).exists()
    assert cluster_programs.find(layout) is None
