"""Weights that come from a registry: mounted as an image's volume by a cluster that can do so, or fetched by the pods."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.rig.rig import Rig
from tests.cluster.yard import ClusterYard, served
from tests.stack.yard import CAPITAL

pytestmark = pytest.mark.cluster

IMAGE = "registry.example.com/models/smollm2:1"


def test_a_model_is_served_from_an_image_that_is_mounted(idle_yard: ClusterYard, rig: Rig, models: Path) -> None:
    rig.register_image(IMAGE, models / "smollm2")
    idle_yard.configure_cluster(served("chat", options={"weights": None, "image": IMAGE}))
    idle_yard.up()
    assert "Paris" in idle_yard.ask("chat", CAPITAL)
    [worker] = idle_yard.pods("chat", "worker")
    volumes = {each["name"]: each for each in worker["spec"]["volumes"]}
    assert volumes["weights"]["image"]["reference"] == IMAGE
    assert not list((models / "cache").rglob("*.safetensors")), "the weights were copied"
