"""What KubeRay's objects say, and how many workers a Ray is asked to have."""

from __future__ import annotations

from dataclasses import replace

import pytest

from components.planning.manifests.ray_service import ray_service
from components.reconciliation.cluster.api import Json
from components.reconciliation.cluster.ray_service import (
    active_cluster,
    group_index,
    has_pods,
    idle_workers,
    is_taken_over,
    pending_cluster,
    ray_version,
    refusal,
    scaling,
    watched_cluster,
    worker_pods,
    workers_in,
)
from components.reconciliation.cluster.values import ScaleWorkers
from components.reconciliation.state import Application
from tests.planning.manifests.builders import planned, stack
from tests.reconciliation.cluster.seen import DIGEST, SEEN, WANTED, head, ray, rays, running, service, worker


@pytest.mark.parametrize(
    ("replicas", "workers", "app", "pods", "expected"),
    [
        pytest.param(1, 1, running(1), (1,), None, id="as many as there should be"),
        pytest.param(3, 1, running(1), (1,), ScaleWorkers("chat-aaaaa", 3), id="more replicas"),
        pytest.param(
            1,
            1,
            running(1, starting=1),
            (1,),
            ScaleWorkers("chat-aaaaa", 2),
            id="a surge: the new replica answers before the old one ends, and needs a worker of its own",
        ),
        pytest.param(1, 2, running(1, starting=1), (1, 2), None, id="the surge has its worker"),
        pytest.param(
            1,
            2,
            running(2),
            (1, 2),
            ScaleWorkers("chat-aaaaa", 1, ("chat-aaaaa-gpu-worker-1",)),
            id="after the surge: the worker goes that the old replica was in",
        ),
        pytest.param(
            2,
            4,
            running(2, 4),
            (1, 2, 3, 4),
            ScaleWorkers("chat-aaaaa", 2, ("chat-aaaaa-gpu-worker-1", "chat-aaaaa-gpu-worker-3")),
            id="fewer replicas: those go that hold none",
        ),
        pytest.param(
            1, 3, running(1, 2, 3), (1, 2, 3), None, id="fewer replicas: none goes while its replica is there"
        ),
        pytest.param(
            1,
            3,
            running(1, 2),
            (1, 2, 3),
            ScaleWorkers("chat-aaaaa", 2, ("chat-aaaaa-gpu-worker-3",)),
            id="fewer replicas: one after another, as their replicas end",
        ),
        pytest.param(2, 2, running(1), (1, 2), None, id="a replica has died: its worker stays for the next one"),
        pytest.param(1, 2, running(1), (1,), None, id="fewer, and the worker too many has no pod yet"),
    ],
)
def test_there_are_as_many_workers_as_replicas(
    replicas: int, workers: int, app: Application, pods: tuple[int, ...], expected: ScaleWorkers | None
) -> None:
    cluster = ray(workers=workers)
    seen = replace(SEEN, application=app, pods=(head(), *map(worker, pods)), clusters=rays(cluster))
    assert scaling(replace(WANTED, replicas=replicas), seen, "chat-aaaaa", cluster) == expected


@pytest.mark.parametrize(
    ("cluster", "app"),
    [
        pytest.param(ray(leaving=True), running(1), id="it is going anyway"),
        pytest.param({"metadata": {"name": "chat-aaaaa"}, "spec": {}}, running(1), id="it has no group of ours"),
        pytest.param(ray(), None, id="Serve has not said how many replicas there are"),
    ],
)
def test_a_ray_that_is_not_ours_to_scale_is_left_alone(cluster: Json, app: Application | None) -> None:
    seen = replace(SEEN, application=app, clusters=rays(cluster))
    assert scaling(replace(WANTED, replicas=5), seen, "chat-aaaaa", cluster) is None


def test_workers_of_another_ray_do_not_go() -> None:
    pods = (head(), worker(1), worker(2, "chat-bbbbb"))
    cluster = ray(workers=2)
    seen = replace(SEEN, pods=pods, application=running(1), clusters=rays(cluster))
    assert scaling(WANTED, seen, "chat-aaaaa", cluster) is None
    assert [pod["metadata"]["name"] for pod in worker_pods(pods, "chat-bbbbb")] == ["chat-bbbbb-gpu-worker-2"]
    assert worker_pods((head(),), "chat-aaaaa") == [], "the head would be taken for an idle worker"


def test_a_worker_that_is_going_already_is_not_chosen_again() -> None:
    pods = [worker(1), worker(2, leaving=True), worker(3)]
    assert idle_workers(pods, running(1)) == ["chat-aaaaa-gpu-worker-3"]


def test_a_worker_without_an_address_may_be_for_the_replica_that_starts() -> None:
    waits = worker(2, address="", ready=False)
    assert idle_workers([worker(1), waits], running(1, starting=1)) == []
    assert idle_workers([worker(1), waits], running(1)) == ["chat-aaaaa-gpu-worker-2"]


def test_what_goes_is_the_same_in_whatever_order_pods_are_listed() -> None:
    cluster, pods = ray(workers=3), (worker(3), worker(1), worker(2))
    for listed in (pods, pods[::-1]):
        seen = replace(SEEN, pods=listed, application=running(2), clusters=rays(cluster))
        assert scaling(WANTED, seen, "chat-aaaaa", cluster) == ScaleWorkers(
            "chat-aaaaa", 1, ("chat-aaaaa-gpu-worker-1", "chat-aaaaa-gpu-worker-3")
        )


@pytest.mark.parametrize(
    ("main", "active", "pending", "watched"),
    [
        pytest.param(service(active="", pending=""), "", "", "", id="nothing yet"),
        pytest.param(service(active="", pending="new"), "", "new", "new", id="the first start"),
        pytest.param(service(active="old", pending=""), "old", "", "old", id="it serves"),
        pytest.param(service(active="old", pending="new"), "old", "new", "new", id="another takes over"),
        pytest.param({}, "", "", "", id="half an object"),
    ],
)
def test_the_ray_that_is_to_serve_is_watched(main: Json, active: str, pending: str, watched: str) -> None:
    assert (active_cluster(main), pending_cluster(main), watched_cluster(main)) == (active, pending, watched)


def test_what_kuberay_says_of_the_object() -> None:
    assert is_taken_over(service())
    assert not is_taken_over(service(looked_at=False))
    assert refusal(service()) == ""
    refused = service(refused="the name is too long")
    assert refusal(refused) == "the name is too long"
    refused["status"]["observedGeneration"] = 2
    assert refusal(refused) == "", "what was corrected is still called refused"


def test_a_ray_is_known_by_the_digest_of_its_pods() -> None:
    assert has_pods(ray(), DIGEST)
    assert not has_pods(ray(pods="old"), DIGEST)
    assert not has_pods({"metadata": {}}, DIGEST), "one that somebody else made would be taken for ours"


def test_the_group_of_the_workers_is_the_one_that_the_plan_renders() -> None:
    found = planned(stack())
    rendered = ray_service(found.workspace(), found.scope, beside=True)
    made_of_it = {"spec": rendered["spec"]["rayClusterConfig"]}
    assert group_index(made_of_it) == 0
    assert workers_in(made_of_it) == found.workspace().replicas
    assert ray_version([made_of_it]) == found.scope.delivery.ray_version
    assert (group_index(ray()), group_index({})) == (1, None), "KubeRay lets groups be added in front"
