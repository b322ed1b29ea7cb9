"""Changes of a workspace that is being used: what is in place, what stands beside the old, and that nothing is lost."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.cluster.conftest import CHAT
from tests.cluster.yard import MODELS, ClusterYard, served
from tests.stack.load import Streams
from tests.stack.yard import CAPITAL
from tests.waiting import eventually

pytestmark = pytest.mark.cluster

ADAPTER = {"source": {"name": "first", "uri": f"file:{MODELS}/adapters/first"}}


def change(yard: ClusterYard, **more: Any) -> str:  # noqa: ANN401 - any field of a workspace
    yard.configure_cluster(served(CHAT, **more))
    return yard.up().text


def workers(yard: ClusterYard) -> list[str]:
    return sorted(pod["metadata"]["uid"] for pod in yard.pods(CHAT, "worker"))


def test_an_adapter_comes_and_goes_under_streams_without_a_restart(yard: ClusterYard) -> None:
    engine, pods = yard.get(CHAT, "/ready").json(), workers(yard)
    with Streams(yard, CHAT) as streams:
        streams.await_ends(8)
        change(yard, inference={"adapters": [ADAPTER]})
        listed = {model.id for model in yard.client(CHAT).models.list()}
        change(yard)
        streams.await_ends(16)
    assert f"{CHAT}:first" in listed
    assert streams.failures == []
    after = yard.get(CHAT, "/ready").json()
    assert (after["host"], after["engine_pid"]) == (engine["host"], engine["engine_pid"]), "the engine was restarted"
    assert workers(yard) == pods


def test_a_second_replica_comes_with_a_node_and_goes_with_it(yard: ClusterYard) -> None:
    [first] = workers(yard)
    with Streams(yard, CHAT) as streams:
        streams.await_ends(8)
        change(yard, replicas=2)
        assert len(workers(yard)) == 2
        assert len({pod["spec"]["nodeName"] for pod in yard.pods(CHAT, "worker")}) == 2
        row = yard.workspace(CHAT)
        assert row["spec"]["replicas"] == 2
        change(yard)
        streams.await_ends(16)
    assert streams.failures == []
    assert len(workers(yard)) == 1
    # Which one goes is Ray Serve's choice; that the other stays is what counts.
    assert "Paris" in yard.ask(CHAT, CAPITAL), first


def test_another_engine_argument_loses_no_request_where_the_preview_says_so(yard: ClusterYard) -> None:
    clusters = yard.ray_clusters()
    yard.configure_cluster(served(CHAT, config={"maxSequences": 6}))
    said = yard.pulumi("preview").expect().text
    assert "maxSequences" in said, said
    assert "new replicas beside" in said, said
    assert "needs 1 more" in said, said
    with Streams(yard, CHAT) as streams:
        streams.await_ends(8)
        yard.up()
        streams.await_ends(16)
    assert streams.failures == []
    assert yard.ray_clusters() == clusters, "a new model needs no new Ray"
    assert len(workers(yard)) == 1, "the old replica's worker is still there"


def test_a_ray_service_edited_by_hand_is_shown_and_put_right(yard: ClusterYard) -> None:
    service = yard.ray_service(CHAT)
    edited = json.loads(service["spec"]["serveConfigV2"])
    edited["applications"][0]["deployments"][0]["user_config"]["max_waiting_requests"] = 3
    path = yard.path("rayservices", CHAT, "/apis/ray.io/v1")
    yard.api.merge(path, {"spec": {"serveConfigV2": json.dumps(edited)}})
    eventually(lambda: "max_waiting_requests" in yard_drift(yard), 60, "a refresh finds the edit")
    yard.up()
    assert yard_drift(yard) == ""
    assert json.loads(yard.ray_service(CHAT)["spec"]["serveConfigV2"]) == json.loads(service["spec"]["serveConfigV2"])


def yard_drift(yard: ClusterYard) -> str:
    yard.pulumi("refresh").expect()
    return yard.reconciled(CHAT)["drift"]


def test_the_kind_deleted_by_hand_is_made_again(yard: ClusterYard) -> None:
    yard.api.delete("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/workspaces.modelyard.dev")
    where = yard.path("workspaces", CHAT, "/apis/modelyard.dev/v1")
    eventually(lambda: yard.api.find(where) is None, 30, "the mirror is gone")
    assert "does not show" in yard_drift(yard)
    yard.up()
    assert yard.workspace(CHAT)["spec"]["model"] == "smollm2-135m-instruct"
