"""What goes wrong on a cluster, what is said of it, and that the way out is one."""

from __future__ import annotations

import contextlib
import threading
from datetime import timedelta
from typing import Any

import pytest

from tests.cluster.conftest import CHAT
from tests.cluster.rig.rig import Rig
from tests.cluster.yard import KWOK_CLASS, ClusterYard, served
from tests.stack.yard import CAPITAL
from tests.waiting import eventually

pytestmark = pytest.mark.cluster

SLEEPER: dict[str, Any] = {
    "spec": {
        "containers": [
            {"name": "main", "image": "example.com/sleeper:1", "command": ["sleep", "infinity"]},
        ]
    }
}
"""A pod that is cheap to run; what happens to its nodes, images and containers happens to a model's too."""


ANYWHERE = {"labelSelector": {"matchLabels": {"pool": "any"}}}


def sleeper(name: str = "sleeper", template: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    resource = more.pop("resource", {"instanceType": "Standard_NC24ads_A100_v4"})
    return {"name": name, "resource": resource, "inference": {"template": template or SLEEPER}, **more}


def with_container(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 - any field of a container
    return {"spec": {"containers": [{**SLEEPER["spec"]["containers"][0], **changes}]}}


def failure(yard: ClusterYard, *workspaces: dict[str, Any], **kubernetes: Any) -> str:  # noqa: ANN401 - config
    yard.configure_cluster(*workspaces, **kubernetes)
    said = yard.pulumi("up").expect_failure().text
    assert "Traceback" not in said.split("Diagnostics:")[0], said
    return said


def repaired(yard: ClusterYard, *workspaces: dict[str, Any], **kubernetes: Any) -> None:  # noqa: ANN401 - config
    yard.configure_cluster(*workspaces, **kubernetes)
    yard.up()
    for each in workspaces:
        assert yard.conditions(each["name"])["WorkspaceReady"] == "True"


def test_an_image_that_does_not_exist_is_named_and_another_one_repairs(idle_yard: ClusterYard) -> None:
    said = failure(idle_yard, sleeper(template=with_container(image="example.com/does-not-exist:1")))
    assert "ImagePullError" in said, said
    assert "example.com/does-not-exist:1" in said, said
    mirror = idle_yard.workspace("sleeper")["status"]["conditions"]
    assert {each["reason"] for each in mirror if each["type"] == "InferenceReady"} == {"ImagePullError"}
    repaired(idle_yard, sleeper())


def test_a_container_that_crashes_shows_its_last_words(idle_yard: ClusterYard) -> None:
    crash = with_container(command=["sh", "-c", "echo no such flag: --modle >&2; exit 3"])
    said = failure(idle_yard, sleeper(template=crash))
    assert "ContainerCrashLoopBackOff" in said, said
    assert "no such flag: --modle" in said, said
    repaired(idle_yard, sleeper())


def test_memory_that_runs_out_is_told_from_other_ends(idle_yard: ClusterYard, rig: Rig) -> None:
    idle_yard.configure_cluster(sleeper())
    idle_yard.up()
    [pod] = idle_yard.pods("sleeper", "template")

    def drift() -> bool:
        """Killed again and again: each time it takes longer until it is started, and is looked at meanwhile."""
        with contextlib.suppress(OSError):
            rig.kill_container(idle_yard.namespace, pod["metadata"]["name"], "main", oom=True)
        idle_yard.pulumi("refresh").expect()
        return "ContainerOOMKilled" in idle_yard.reconciled("sleeper")["drift"]

    eventually(drift, 120, "the kills are seen")
    repaired(idle_yard, sleeper())


def test_nodes_that_cannot_be_made_are_told_with_the_provisioner_s_reason(idle_yard: ClusterYard) -> None:
    missing = {**KWOK_CLASS, "name": "nowhere"}
    said = failure(idle_yard, sleeper(), nodeClassRef=missing)
    assert "NodePoolNotReady" in said, said
    assert "NodeClassNotFound" in said, said
    assert "correct modelyard:kubernetes.nodeClassRef" in said, said
    repaired(idle_yard, sleeper())


def test_a_pod_that_no_existing_node_takes_is_told_why(idle_yard: ClusterYard) -> None:
    resource = {"labelSelector": {"matchLabels": {"pool": "nowhere"}}}
    said = failure(idle_yard, sleeper(resource=resource, readyTimeoutSeconds=15), nodes="existing")
    assert "Unschedulable" in said, said
    assert "give nodes the labels pool=nowhere" in said, said
    assert "readyTimeoutSeconds" in said, said


def test_an_api_server_that_restarts_in_the_middle_of_an_update_is_waited_for(idle_yard: ClusterYard, rig: Rig) -> None:
    slow = with_container(readinessProbe={"exec": {"command": ["true"]}, "initialDelaySeconds": 15})
    idle_yard.configure_cluster(sleeper(template=slow))
    outcome: list[str] = []
    update = threading.Thread(target=lambda: outcome.append(idle_yard.pulumi("up").expect().text))
    update.start()
    eventually(lambda: bool(idle_yard.pods("sleeper", "template")), 60, "the update has applied the template")
    rig.restart_api_server(down_seconds=4)
    update.join()
    assert outcome, "the update failed"
    assert "does not answer" in outcome[0], "nobody was told why it took longer"
    assert idle_yard.conditions("sleeper")["WorkspaceReady"] == "True"


def test_a_login_that_has_expired_is_told_before_anything_is_made(idle_yard: ClusterYard, rig: Rig) -> None:
    idle_yard.configure_cluster(sleeper(resource=ANYWHERE), nodes="existing")
    idle_yard.environment["KUBECONFIG"] = str(rig.kubeconfig("late", lasts=timedelta(seconds=-60)))
    said = idle_yard.pulumi("up").expect_failure().text
    assert "nothing was made: LoginFailed" in said, said
    assert "log in again" in said, said
    idle_yard.environment["KUBECONFIG"] = str(rig.admin)


def test_a_missing_permission_is_named_by_verb_and_resource(idle_yard: ClusterYard, rig: Rig) -> None:
    idle_yard.configure_cluster(sleeper(resource=ANYWHERE), nodes="existing", createNamespace=False)
    idle_yard.environment["KUBECONFIG"] = str(rig.kubeconfig("nobody"))
    said = idle_yard.pulumi("up").expect_failure().text
    assert "nothing was made: Forbidden" in said, said
    assert 'User "nobody" cannot get resource "configmaps"' in said, said
    idle_yard.environment["KUBECONFIG"] = str(rig.admin)


def test_a_node_that_goes_while_a_model_serves_is_replaced(yard: ClusterYard, rig: Rig) -> None:
    [worker] = yard.pods(CHAT, "worker")
    rig.lose_node(worker["spec"]["nodeName"])
    eventually(
        lambda: [pod["metadata"]["uid"] for pod in yard.pods(CHAT, "worker")] != [worker["metadata"]["uid"]],
        240,  # Kubernetes removes pods of a node that is gone after a minute
        "another worker is made",
    )
    yard.pulumi("up", "--refresh").expect()
    assert "Paris" in yard.ask(CHAT, CAPITAL)


def test_an_operator_that_is_down_is_named_and_the_update_goes_on_when_it_is_back(
    idle_yard: ClusterYard, rig: Rig
) -> None:
    rig.stop("kuberay-operator")
    try:
        idle_yard.configure_cluster(served("late", readyTimeoutSeconds=12))
        said = idle_yard.pulumi("up").expect_failure().text
        assert "WaitingForKubeRay" in said, said
        assert "does its operator run?" in said, said
    finally:
        rig.start_again("kuberay-operator")
    idle_yard.configure_cluster(served("late"))
    idle_yard.up()
    assert "Paris" in idle_yard.ask("late", CAPITAL)


def test_two_updates_at_once_do_not_harm_each_other(idle_yard: ClusterYard) -> None:
    idle_yard.configure_cluster(sleeper())
    first = idle_yard.start("up")
    locks = idle_yard.folder.parent / "state" / ".pulumi" / "locks"
    eventually(lambda: list(locks.rglob("*.json")), 30, "the first update has the lock")
    second = idle_yard.pulumi("up")
    assert first.wait(timeout=180) == 0
    assert second.code == 0 or "locked" in second.text, second.text
    repaired(idle_yard, sleeper())
