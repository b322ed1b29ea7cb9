"""What is done on the cluster: each decision as the one request that it is."""

from __future__ import annotations

from typing import Any

import pytest

from components.reconciliation.cluster.act import act, send_applications
from components.reconciliation.cluster.api import Forbidden, Missing, Refused
from components.reconciliation.cluster.values import (
    Action,
    ClearApplications,
    ReplaceCluster,
    ScaleWorkers,
    SetServiceType,
)
from tests.reconciliation.cluster.objects import NAMESPACE
from tests.reconciliation.cluster.seen import CORE, DASHBOARD, RAY, WANTED, FakeApi, ray

CLUSTER = f"{RAY}/rayclusters/chat-aaaaa"


@pytest.fixture
def api() -> FakeApi:
    api = FakeApi()
    api.answers.put(f"GET {CLUSTER}", body=ray())
    api.answers.put(f"PATCH {CLUSTER}")
    api.answers.put(f"DELETE {CLUSTER}")
    api.answers.put(f"PUT {DASHBOARD}")
    api.answers.put(f"PATCH {CORE}/services/chat")
    return api


def done(api: FakeApi, action: Action) -> tuple[str, str, Any, str]:
    act(api, WANTED, action)
    (change,) = api.changes()
    return change.method, change.path.partition("?")[0], change.body, change.content_type


def test_workers_are_counted_in_their_own_group_and_those_that_go_are_named(api: FakeApi) -> None:
    method, path, body, content_type = done(api, ScaleWorkers("chat-aaaaa", 1, ("worker-1",)))
    assert (method, path, content_type) == ("PATCH", CLUSTER, "application/json-patch+json")
    assert body == [
        {"op": "add", "path": "/spec/workerGroupSpecs/1/replicas", "value": 1},
        {"op": "add", "path": "/spec/workerGroupSpecs/1/scaleStrategy", "value": {"workersToDelete": ["worker-1"]}},
    ], "our group is the second one"


def test_a_larger_number_forgets_who_was_to_go(api: FakeApi) -> None:
    _, _, body, _ = done(api, ScaleWorkers("chat-aaaaa", 3))
    assert [each["value"] for each in body] == [3, {"workersToDelete": []}]


def test_a_ray_without_our_group_is_left_alone(api: FakeApi) -> None:
    api.answers.put(f"GET {CLUSTER}", body={"spec": {"workerGroupSpecs": []}})
    act(api, WANTED, ScaleWorkers("chat-aaaaa", 3))
    assert api.changes() == []


def test_a_ray_with_other_pods_is_deleted(api: FakeApi) -> None:
    assert done(api, ReplaceCluster("chat-aaaaa"))[:2] == ("DELETE", CLUSTER)


def test_a_ray_that_is_gone_already_is_fine() -> None:
    act(FakeApi(), WANTED, ReplaceCluster("chat-aaaaa"))


def test_a_failed_application_is_taken_out_by_the_dashboard(api: FakeApi) -> None:
    assert done(api, ClearApplications("chat-aaaaa"))[:3] == ("PUT", DASHBOARD, {"applications": []})


def test_the_type_of_the_service_is_all_that_is_changed_of_it(api: FakeApi) -> None:
    method, path, body, content_type = done(api, SetServiceType("LoadBalancer"))
    assert (method, path) == ("PATCH", f"{CORE}/services/chat")
    assert (body, content_type) == ({"spec": {"type": "LoadBalancer"}}, "application/merge-patch+json")


def test_what_ray_refuses_is_told_in_its_words(api: FakeApi) -> None:
    api.answers.put(f"PUT {DASHBOARD}", 400, b"ValueError: route_prefix must start with /")
    with pytest.raises(Refused, match=r"answered 400 when its applications were changed: .*must start with /"):
        send_applications(api, NAMESPACE, "chat-aaaaa", [])


def test_what_the_login_may_not_do_is_told(api: FakeApi) -> None:
    api.answers.put(f"PATCH {CLUSTER}", 403, {"message": "rayclusters is forbidden: User cannot patch"})
    with pytest.raises(Forbidden, match="cannot patch"):
        act(api, WANTED, ScaleWorkers("chat-aaaaa", 3))


def test_a_ray_that_has_gone_meanwhile_is_not_scaled() -> None:
    api = FakeApi()
    with pytest.raises(Missing):
        act(api, WANTED, ScaleWorkers("chat-aaaaa", 3))
    assert api.changes() == []
