"""KAITO's own manifests on a cluster, unchanged: one key of the config has a small model stand in for theirs."""

from __future__ import annotations

import shutil

import pytest

from tests.cluster.yard import SMOLLM2, ClusterYard
from tests.stack.yard import CAPITAL, PROJECT, TINY

pytestmark = pytest.mark.cluster

MANIFESTS = PROJECT / "tests" / "planning" / "kaito" / "manifests"
NAME = "workspace-phi-3-mini"
STAND_IN = {"preset": TINY, "weights": SMOLLM2, "maxContext": 1024, "maxSequences": 4}


def test_the_quick_start_answers(idle_yard: ClusterYard) -> None:
    shutil.copy(MANIFESTS / "quick_start_inference.yaml", idle_yard.folder / "workspace.yaml")
    idle_yard.configure_cluster(keys={"manifests": ["workspace.yaml"], "standIns": {"model": STAND_IN}})
    said = idle_yard.up().text
    assert f"{TINY} stands in for the models of {NAME}" in said
    shown = idle_yard.workspace(NAME)
    assert shown["spec"]["instance"] == "Standard_NC6s_v3"
    assert idle_yard.conditions(NAME)["WorkspaceReady"] == "True"
    assert "Paris" in idle_yard.ask(NAME, CAPITAL)
