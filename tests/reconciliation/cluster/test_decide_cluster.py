"""The pure core of reconciliation on a cluster: what is there, what is done about it, what the conditions say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from components.reconciliation.cluster.decide import decide, describe_drift
from components.reconciliation.cluster.values import (
    Action,
    ClearApplications,
    ReplaceCluster,
    ScaleWorkers,
    Seen,
    SetServiceType,
    Verdict,
    Wanted,
    WantedNodes,
)
from components.reconciliation.state import AdapterState, Application, Readiness, Replica, ReplicaAdapters
from presets.serve_config import AdapterSettings, adapters_generation
from tests.reconciliation.cluster.objects import (
    claim,
    container,
    ended,
    event,
    node,
    nodes,
    pending,
    pod,
    pool,
    waiting,
)
from tests.reconciliation.cluster.seen import (
    CONFIG,
    SEEN,
    TEMPLATE,
    WANTED,
    deployment,
    head,
    ray,
    rays,
    running,
    service,
    worker,
)

SENT = replace(WANTED, sent=True)
OTHER = {**CONFIG, "route_prefix": "/other"}
FAILED = Application(
    status="DEPLOY_FAILED", config=CONFIG, message="StartupFailure: [OutOfMemory] 9 GiB are missing", replicas=()
)


def finding(verdict: Verdict) -> str:
    return verdict.findings["InferenceReady"].reason


@pytest.mark.parametrize(
    ("wanted", "seen", "actions", "reason", "final"),
    [
        pytest.param(WANTED, SEEN, (), "ReplicasReady", False, id="as wanted: nothing to do"),
        pytest.param(WANTED, replace(SEEN, main=None), (), "RayServiceGone", False, id="the RayService is gone"),
        pytest.param(
            WANTED,
            replace(SEEN, main=service(refused="spec.rayClusterConfig is wrong")),
            (),
            "RayServiceRefused",
            True,
            id="KubeRay refuses it: waiting is of no use",
        ),
        pytest.param(
            WANTED,
            replace(SEEN, main=service(looked_at=False)),
            (),
            "ReplicasReady",
            False,
            id="KubeRay says only seldom that it has looked: the pods and the Serve config tell",
        ),
        pytest.param(
            WANTED,
            replace(SEEN, main=service(active=""), clusters={}),
            (),
            "WaitingForKubeRay",
            False,
            id="no Ray cluster yet",
        ),
        pytest.param(
            WANTED,
            replace(SEEN, clusters=rays(ray(leaving=True))),
            (),
            "Replacing",
            False,
            id="the Ray cluster is being deleted",
        ),
        pytest.param(
            WANTED,
            replace(SEEN, clusters=rays(ray(pods="old"))),
            (),
            "Replacing",
            False,
            id="other pods are wanted, and there is room beside: KubeRay does it",
        ),
        pytest.param(
            replace(WANTED, beside=False),
            replace(SEEN, clusters=rays(ray(pods="old"))),
            (ReplaceCluster("chat-aaaaa"),),
            "Replacing",
            False,
            id="other pods are wanted, and there is no room: the old ones go first",
        ),
        pytest.param(
            replace(WANTED, beside=False),
            replace(SEEN, clusters=rays(ray(pods="old", leaving=True))),
            (),
            "Replacing",
            False,
            id="the old ones are going: nothing is deleted twice",
        ),
        pytest.param(
            WANTED,
            replace(SEEN, main=service(pending="chat-bbbbb"), clusters=rays(ray(), ray("chat-bbbbb"))),
            (),
            "Switching",
            False,
            id="the new Ray is ready, the Service leads to the old one",
        ),
        pytest.param(WANTED, replace(SEEN, application=None), (), "RayStarting", False, id="Ray starts"),
        pytest.param(
            WANTED,
            replace(SEEN, application=None, silence="the API server cannot ask Ray's dashboard (503: no route)"),
            (),
            "DashboardUnreachable",
            False,
            id="the head is ready, and the API server does not reach its dashboard",
        ),
        pytest.param(
            WANTED,
            replace(SEEN, application=running(config=OTHER)),
            (),
            "Deploying",
            False,
            id="KubeRay has to send it",
        ),
        pytest.param(
            WANTED,
            replace(SEEN, application=FAILED, readiness=None),
            (ClearApplications("chat-aaaaa"),),
            "Retrying",
            False,
            id="failed before us with our config: Ray would not retry",
        ),
        pytest.param(
            SENT, replace(SEEN, application=FAILED, readiness=None), (), "OutOfMemory", True, id="our deployment failed"
        ),
        pytest.param(
            SENT,
            replace(SEEN, application=replace(FAILED, config=OTHER)),
            (),
            "Deploying",
            False,
            id="the config before ours failed: KubeRay sends ours next",
        ),
        pytest.param(
            WANTED,
            replace(SEEN, application=replace(running(), status="DEPLOYING", replicas=(Replica(state="STARTING"),))),
            (),
            "ReplicasStarting",
            False,
            id="the replica starts",
        ),
        pytest.param(WANTED, replace(SEEN, readiness=None), (), "EndpointSilent", False, id="the endpoint is silent"),
        pytest.param(
            WANTED,
            replace(SEEN, readiness=Readiness(ok=False, reason="EngineRestarting", message="signal 9")),
            (),
            "EngineRestarting",
            False,
            id="the service says itself that it is not ready",
        ),
        pytest.param(
            replace(WANTED, replicas=2),
            SEEN,
            (ScaleWorkers("chat-aaaaa", 2),),
            "ReplicasStarting",
            False,
            id="more replicas: KubeRay does not take the number over by itself",
        ),
        pytest.param(
            WANTED,
            replace(
                SEEN,
                clusters=rays(ray(workers=2)),
                pods=(head(), worker(1), worker(2)),
                application=running(1, 2),
            ),
            (),
            "ReplicasEnding",
            False,
            id="fewer replicas: not ready while the old one streams",
        ),
        pytest.param(
            replace(WANTED, service_type="LoadBalancer"),
            SEEN,
            (SetServiceType("LoadBalancer"),),
            "ReplicasReady",
            False,
            id="KubeRay changes the Service only when another Ray takes over",
        ),
        pytest.param(
            replace(WANTED, service_type="LoadBalancer"),
            replace(SEEN, endpoint=None),
            (),
            "ReplicasReady",
            False,
            id="no Service that could be changed",
        ),
    ],
)
def test_decision(wanted: Wanted, seen: Seen, actions: tuple[Action, ...], reason: str, final: bool) -> None:
    verdict = decide(wanted, seen)
    assert verdict.actions == actions
    assert finding(verdict) == reason
    assert verdict.final is final
    assert verdict.ready is (reason == "ReplicasReady" and not actions), "nothing half ready is called ready"


@pytest.mark.parametrize(
    ("main", "reason", "words"),
    [
        pytest.param(deployment(), "ReplicasReady", "2 of 2 replicas are available", id="all are there"),
        pytest.param(None, "DeploymentGone", "pulumi up --refresh brings it back", id="gone"),
        pytest.param(deployment(2, 1), "ReplicasStarting", "1 of 2 replicas are available", id="one is not"),
        pytest.param(deployment(1, 2), "ReplicasStarting", "1 of 2 replicas are available", id="one is an old one"),
        pytest.param(deployment(2, 2, total=3), "ReplicasStarting", "2 of 2", id="an old one ends"),
        pytest.param(
            deployment(1, 1, stuck="ReplicaSet chat-1 has timed out progressing"),
            "ReplicasStarting",
            "1 of 2 replicas are available: ReplicaSet chat-1 has timed out progressing",
            id="stuck",
        ),
    ],
)
def test_a_pod_template_is_ready_when_its_deployment_is(main: dict[str, Any] | None, reason: str, words: str) -> None:
    verdict = decide(TEMPLATE, replace(SEEN, main=main, clusters={}, application=None, readiness=None, pods=()))
    assert finding(verdict) == reason
    assert words in verdict.findings["InferenceReady"].message
    assert verdict.ready is (reason == "ReplicasReady")
    assert verdict.actions == ()


def test_a_deployment_that_was_just_changed_is_not_taken_for_the_old_one() -> None:
    old = deployment()
    old["metadata"]["generation"] = 2
    assert finding(decide(TEMPLATE, replace(SEEN, main=old, pods=()))) == "Deploying"


def starting(*pods: dict[str, Any]) -> Seen:
    return replace(SEEN, pods=(head(), *pods), application=None, readiness=None)


def test_what_keeps_the_pods_from_running_is_the_reason_whatever_ray_says() -> None:
    stuck = pod("chat-worker-1", container(state=waiting("ImagePullBackOff", "manifest unknown")))
    verdict = decide(WANTED, starting(stuck))
    assert finding(verdict) == "ImagePullError"
    assert verdict.findings["WorkspaceReady"].reason == "ImagePullError"
    assert not verdict.ready


def test_a_pod_in_trouble_does_not_make_a_service_that_answers_unready() -> None:
    stuck = pod("chat-worker-2", container(state=waiting("ImagePullBackOff", "manifest unknown")))
    assert decide(WANTED, replace(SEEN, pods=(*SEEN.pods, stuck))).ready


def test_the_log_that_explains_a_crash_is_asked_for() -> None:
    crashed = container(state=waiting("CrashLoopBackOff"), last=ended(1), restarts=4)
    verdict = decide(WANTED, starting(pod("chat-worker-1", crashed)))
    assert finding(verdict) == "ContainerCrashLoopBackOff"
    assert verdict.log_of == ("chat-worker-1", "ray-worker")
    assert decide(WANTED, SEEN).log_of is None


MADE = WantedNodes(source="karpenter", count=1, selector={"modelyard.dev/nodes": "chat"}, name="chat")


def test_nodes_that_can_never_be_made_end_the_waiting() -> None:
    wrong = pool({"NodeClassReady": ("False", "NodeClassNotFound", "NodeClass not found on cluster")})
    seen = replace(SEEN, pools=(wrong,), nodes={}, pods=(), application=None, readiness=None)
    verdict = decide(replace(WANTED, nodes=MADE), seen)
    assert verdict.findings["ResourceReady"].reason == "NodePoolNotReady"
    assert verdict.first_problem.reason == "NodePoolNotReady"
    assert verdict.final


def test_a_pool_in_trouble_ends_nothing_while_its_nodes_are_there() -> None:
    wrong = pool({"NodeClassReady": ("False", "NodeClassNotFound", "NodeClass not found on cluster")})
    there = node()
    there["metadata"]["labels"] = {"modelyard.dev/nodes": "chat"}
    verdict = decide(replace(WANTED, nodes=MADE), replace(SEEN, pools=(wrong,), nodes=nodes(there)))
    assert verdict.ready


def test_what_a_provisioner_says_of_pods_that_are_not_its_own_is_not_the_reason() -> None:
    waiting = pending("0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.")
    said = event(
        "FailedScheduling", "Failed to schedule pod, incompatible requirements, label pool does not have known values"
    )
    seen = replace(SEEN, pods=(waiting,), events=(said,), nodes={}, application=None)
    assert decide(WANTED, seen).first_problem.reason == "Unschedulable"


def test_a_launch_that_failed_once_is_waited_for() -> None:
    failed = claim({"Launched": ("Unknown", "LaunchFailed", "the subscription's quota is used up")})
    seen = replace(SEEN, claims=(failed,), pools=(pool(),), nodes={}, pods=(), application=None)
    verdict = decide(replace(WANTED, nodes=MADE), seen)
    assert not verdict.ready
    assert not verdict.final, verdict.first_problem


ADAPTER = AdapterSettings(name="pirate", source="hf:org/pirate", rank=16)
GENERATION = adapters_generation([ADAPTER])
WITH_ADAPTER: dict[str, Any] = {
    **CONFIG,
    "deployments": [{"name": "M", "user_config": {"adapters": [ADAPTER.model_dump(mode="json")]}}],
}


def adapters(*states: AdapterState) -> tuple[ReplicaAdapters, ...]:
    """What the one replica says of its adapters."""
    return (ReplicaAdapters(generation=GENERATION, adapters=states),)


@pytest.mark.parametrize(
    ("told", "reason", "final"),
    [
        pytest.param(adapters(AdapterState(name="pirate", state="Ready")), "AdaptersReady", False, id="all"),
        pytest.param((), "AdaptersLoading", False, id="no replica has heard of it"),
        pytest.param(adapters(AdapterState(name="pirate", state="Loading")), "AdaptersLoading", False, id="loading"),
        pytest.param(
            adapters(AdapterState(name="pirate", state="Failed", reason="WrongBase", message="made for another model")),
            "WrongBase",
            True,
            id="it cannot be served: waiting is of no use",
        ),
    ],
)
def test_adapters_have_a_condition_of_their_own(told: tuple[ReplicaAdapters, ...], reason: str, final: bool) -> None:
    wanted = replace(WANTED, application=WITH_ADAPTER)
    verdict = decide(wanted, replace(SEEN, application=running(config=WITH_ADAPTER), adapters=told))
    assert verdict.findings["AdaptersReady"].reason == reason
    assert verdict.findings["InferenceReady"].status == "True", "the model itself is served meanwhile"
    assert verdict.final is final
    assert verdict.ready is (reason == "AdaptersReady")


def test_without_adapters_there_is_no_such_condition() -> None:
    assert list(decide(WANTED, SEEN).findings) == ["ResourceReady", "InferenceReady", "WorkspaceReady"]


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        pytest.param(SEEN, "", id="as wanted"),
        pytest.param(
            replace(SEEN, application=running(config=OTHER)),
            "changed behind our back: route_prefix: found '/other', wanted '/'",
            id="changed by hand",
        ),
        pytest.param(replace(SEEN, main=None), "RayServiceGone: the RayService is gone", id="gone"),
        pytest.param(replace(SEEN, readiness=None), "EndpointSilent: ", id="silent"),
        pytest.param(
            replace(SEEN, nodes={}), "NodeGone: pod chat-aaaaa-gpu-worker-1 is on node gpu-1", id="a node less"
        ),
        pytest.param(
            replace(SEEN, application=FAILED, readiness=None),
            "OutOfMemory: 9 GiB are missing",
            id="failed since",
        ),
    ],
)
def test_a_refresh_reports_drift_in_words(seen: Seen, words: str) -> None:
    text = describe_drift(SENT, seen)
    assert text.startswith(words)
    assert bool(text) is bool(words)
