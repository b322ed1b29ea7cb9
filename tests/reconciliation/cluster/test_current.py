"""Pods that are on their way out are nobody's reason."""

from __future__ import annotations

from dataclasses import replace

from components.reconciliation.cluster.api import Json
from components.reconciliation.cluster.current import current_pods
from components.reconciliation.cluster.partial_json import name_of
from tests.reconciliation.cluster.seen import SEEN, service

LABELS = {
    "ray": "ray.io/cluster",
    "part": "modelyard.dev/part",
    "made_like": "pod-template-hash",
    "job": "batch.kubernetes.io/job-name",
}


def pod(name: str, made: int = 1, **labels: str) -> Json:
    """made: the second in which it was; labels by the names of LABELS."""
    found = {LABELS[key]: value for key, value in labels.items()}
    return {"metadata": {"name": name, "creationTimestamp": f"2026-01-01T00:00:0{made}Z", "labels": found}}


def names(*pods: Json, main: Json | None = None) -> list[str]:
    seen = replace(SEEN, main=main or service(), pods=pods)
    return [name_of(each) for each in current_pods(seen)]


def test_of_ray_those_of_the_cluster_that_is_to_serve() -> None:
    old, new = pod("old", ray="chat-aaaaa"), pod("new", ray="chat-bbbbb")
    assert names(old, new) == ["old"]
    assert names(old, new, main=service(pending="chat-bbbbb")) == ["new"]
    assert names(old, new, main=service(active="")) == ["old", "new"], "KubeRay has not said yet which one it is"


def test_of_a_template_those_that_are_made_like_the_newest() -> None:
    old = pod("old", 1, part="template", made_like="a")
    assert names(old, pod("new", 2, part="template", made_like="b")) == ["new"]
    assert names(old, pod("beside", 2, part="template", made_like="a")) == ["old", "beside"]


def test_of_jobs_those_of_the_newest() -> None:
    old, new = pod("old", 1, part="prefetch", job="w-1"), pod("new", 2, part="prefetch", job="w-2")
    assert names(old, new) == ["new"]
