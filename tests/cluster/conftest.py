"""One cluster for all tests of this folder: a rig on this machine, or the cluster that a kubeconfig names.

Tests ask for `cluster` where any cluster will do, and for `rig` where they need what only a rig can do: faults, nodes
that are made up, programs that are stopped. Where there can be no cluster they are skipped, and the run's last lines
say so in capitals.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cluster.models import make_models
from tests.cluster.prepare import KUBECONFIG
from tests.cluster.rig import requirements
from tests.cluster.rig.api import Api
from tests.cluster.rig.rig import Rig, free_port
from tests.cluster.yard import ClusterYard, served
from toolchain import cluster_programs
from toolchain.layout import Layout

CHAT = "chat"
_not_run: set[str] = set()
_numbers = itertools.count(1)


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A cluster and its admin's way in."""

    kubeconfig: Path
    api: Api
    rig: Rig | None
    """None: somebody's own cluster."""


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The cluster of this run; it goes down with it."""
    if own := os.environ.get(KUBECONFIG):
        yield Cluster(kubeconfig=Path(own), api=Api.of(Path(own)), rig=None)
        return
    programs = cluster_programs.find(Layout.of(os.environ))
    lacking = requirements.missing()
    if programs is None:
        lacking.append("The programs of a cluster are not in the cache; `make test-cluster` gets them.")
    if programs is None or lacking:
        _not_run.update(lacking)
        pytest.skip(" ".join(lacking))
    with Rig(tmp_path_factory.mktemp("rig") / "state", bin=programs.bin, crds=programs.crds, port=free_port()) as rig:
        yield Cluster(kubeconfig=rig.admin, api=rig.api, rig=rig)


@pytest.fixture(scope="session")
def rig(cluster: Cluster) -> Rig:
    """The rig, for tests that no other cluster will do for."""
    if cluster.rig is None:
        pytest.skip(f"only a rig can do this, and {KUBECONFIG} names another cluster")
    return cluster.rig


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a model and an adapter; pods have it at /models."""
    folder = tmp_path_factory.mktemp("models")
    make_models(folder)
    return folder


@pytest.fixture(scope="session")
def node_class(rig: Rig) -> None:
    """What Karpenter makes nodes of."""
    rig.api.apply({"apiVersion": "karpenter.kwok.sh/v1alpha1", "kind": "KWOKNodeClass", "metadata": {"name": "gpu"}})


@pytest.fixture(scope="session")
def yard(rig: Rig, models: Path, node_class: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterYard]:
    """A stack with one workspace, `chat`, on a node that Karpenter made."""
    yard = ClusterYard(tmp_path_factory.mktemp("shared"), rig.admin, rig.api, models)
    try:
        yard.configure_cluster(served(CHAT))
        yard.up()
        yield yard
    finally:
        yard.close()


@pytest.fixture
def idle_yard(
    rig: Rig, models: Path, node_class: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ClusterYard]:
    """A stack that was never updated."""
    yard = ClusterYard(tmp_path_factory.mktemp("idle"), rig.admin, rig.api, models)
    try:
        yield yard
    finally:
        yard.close()


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace of the test's own, deleted afterwards with all that is in it."""
    name = f"test-{os.getpid()}-{next(_numbers)}"
    cluster.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield name
    cluster.api.delete(f"/api/v1/namespaces/{name}")


def pytest_unconfigure(config: pytest.Config) -> None:
    """A skip among many is overlooked; a last line is not."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None:
        return
    for reason in sorted(_not_run):
        reporter.write_line(f"THE CLUSTER TESTS WERE NOT RUN: {reason}", red=True, bold=True)
