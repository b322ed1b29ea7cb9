"""Lists that all watched workspaces share: asked for once, forgotten after a second, one failure for all."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from components.reconciliation.cluster.api import ClusterUnreachable, Forbidden, Json
from components.reconciliation.cluster.lists import FRESH_SECONDS, Lists
from tests.reconciliation.cluster.seen import Answer, Clock, FakeApi

PODS = "/api/v1/namespaces/ml/pods"
ONE = {"metadata": {"name": "a", "labels": {"app": "chat", "part": "worker"}}}
TWO = {"metadata": {"name": "b", "labels": {"app": "other"}}}
BARE = {"metadata": {"name": "c"}}


def names(items: list[Json]) -> list[str]:
    return [item["metadata"]["name"] for item in items]


@pytest.fixture
def api() -> FakeApi:
    api = FakeApi()
    api.answers.list(PODS, (ONE, TWO, BARE))
    return api


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lists(api: FakeApi, clock: Clock) -> Lists:
    return Lists(api, clock.monotonic)


def test_each_workspace_gets_its_own_of_one_list(lists: Lists, api: FakeApi) -> None:
    assert names(lists.items(PODS, {"app": "chat"})) == ["a"]
    assert names(lists.items(PODS, {"app": "other"})) == ["b"]
    assert names(lists.items(PODS, {"app": "chat", "part": "head"})) == []
    assert names(lists.items(PODS)) == ["a", "b", "c"]
    assert api.requests == 1


def test_a_list_is_fresh_for_a_second(lists: Lists, api: FakeApi, clock: Clock) -> None:
    lists.items(PODS)
    clock.now += FRESH_SECONDS
    lists.items(PODS)
    assert api.requests == 1
    clock.now += 0.01
    api.answers.list(PODS, (TWO,))
    assert names(lists.items(PODS)) == ["b"]
    assert api.requests == 2


def test_after_a_change_it_is_asked_for_at_once(lists: Lists, api: FakeApi) -> None:
    lists.items(PODS)
    lists.forget()
    lists.items(PODS)
    assert api.requests == 2


def test_lists_do_not_wait_for_one_another(lists: Lists, api: FakeApi) -> None:
    api.answers.list("/api/v1/nodes", ())
    lists.items(PODS)
    lists.items("/api/v1/nodes")
    assert [each.path for each in api.asked] == [PODS, "/api/v1/nodes"]


def test_thirty_workspaces_that_look_at_once_ask_once(lists: Lists, api: FakeApi) -> None:
    asked, answer = threading.Event(), threading.Event()

    def slowly(_: object) -> Answer:
        asked.set()
        assert answer.wait(10), "the test has not gone on"
        return 200, {"items": [ONE]}

    api.answers.by_request[f"GET {PODS}"] = slowly
    with ThreadPoolExecutor(30) as threads:
        found = [threads.submit(lists.items, PODS) for _ in range(30)]
        assert asked.wait(10), "nobody asks"
        answer.set()
        assert [names(each.result(10)) for each in found] == [["a"]] * 30
    assert api.requests == 1


def test_a_failure_is_everybody_s_and_is_not_repeated_at_once(lists: Lists, api: FakeApi, clock: Clock) -> None:
    api.answers.by_request[f"GET {PODS}"] = ClusterUnreachable("the API server does not answer")
    for _ in range(3):
        with pytest.raises(ClusterUnreachable, match="does not answer"):
            lists.items(PODS)
    assert api.requests == 1, "a server that is down would be asked by thirty at once"
    clock.now += FRESH_SECONDS + 0.01
    api.answers.list(PODS, (ONE,))
    assert names(lists.items(PODS)) == ["a"], "a failure outlives its cause"


def test_a_refusal_is_told_with_its_reason(lists: Lists, api: FakeApi) -> None:
    api.answers.put(f"GET {PODS}", 403, {"message": "pods is forbidden: User cannot list"})
    with pytest.raises(Forbidden, match=r"cannot list; grant it to the user of .*permissions"):
        lists.items(PODS)


def test_a_kind_that_the_cluster_does_not_know_has_no_objects(lists: Lists) -> None:
    assert lists.items("/apis/karpenter.sh/v1/nodepools") == []
