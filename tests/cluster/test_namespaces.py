"""Whose a namespace is, and one that does not end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.rig.api import Json
from tests.cluster.rig.rig import Rig
from tests.cluster.test_faults import failure, repaired, sleeper
from tests.cluster.yard import ClusterYard
from tests.waiting import eventually

pytestmark = pytest.mark.cluster


@pytest.fixture
def other_yard(
    idle_yard: ClusterYard, rig: Rig, models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ClusterYard]:
    """Another person's stack of the same name, with a state of its own."""
    yard = ClusterYard(tmp_path_factory.mktemp("other"), rig.admin, rig.api, models)
    yard.namespace = idle_yard.namespace
    yield yard
    yard.close()


def test_another_stack_of_the_same_name_is_kept_out(idle_yard: ClusterYard, other_yard: ClusterYard) -> None:
    repaired(idle_yard, sleeper("mine"))
    said = failure(other_yard, sleeper("theirs"))
    assert "nothing was made" in said, said
    assert f"namespace {idle_yard.namespace} belongs to another stack" in said, said
    other_yard.pulumi("destroy").expect()
    assert idle_yard.pods("mine", "template"), "the other stack's destroy has taken ours"
    repaired(idle_yard, sleeper("mine"))
    idle_yard.api.delete(idle_yard.path("configmaps", "modelyard-stack"))
    repaired(other_yard, sleeper("theirs"))


def test_a_namespace_that_does_not_end_is_named(idle_yard: ClusterYard) -> None:
    api, namespace = idle_yard.api, f"/api/v1/namespaces/{idle_yard.namespace}"
    held: Json = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "held", "namespace": idle_yard.namespace, "finalizers": ["example.com/nobody"]},
    }
    api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": idle_yard.namespace}}, held)
    api.delete(namespace)
    eventually(lambda: "example.com/nobody" in str(api.get(namespace)), 60, "the namespace says what holds it")
    said = failure(idle_yard, sleeper())
    assert "is being deleted" in said, said
    assert "example.com/nobody" in said, said
    api.merge(idle_yard.path("configmaps", "held"), {"metadata": {"finalizers": None}})
    eventually(lambda: idle_yard.namespace not in names(idle_yard), 60, "the namespace is gone")
    repaired(idle_yard, sleeper())


def names(yard: ClusterYard) -> list[str]:
    return [each["metadata"]["name"] for each in yard.api.items("/api/v1/namespaces")]
