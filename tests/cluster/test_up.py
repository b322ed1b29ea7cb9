"""A stack on a cluster, end to end: what it serves, what kubectl shows of it, and what a preview needs."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any

import pytest

from tests.cluster.conftest import CHAT
from tests.cluster.rig.rig import Rig
from tests.cluster.yard import A100, ClusterYard
from tests.stack.yard import CAPITAL

pytestmark = pytest.mark.cluster

READY = {"ResourceReady": "True", "InferenceReady": "True", "WorkspaceReady": "True"}
NOBODY = "https://127.0.0.1:9"


def table(yard: ClusterYard, *, wide: bool = False) -> list[dict[str, Any]]:
    """What `kubectl get workspace` prints, as the API server makes it: cells by column."""
    answer = yard.table(yard.path("workspaces", "", "/apis/modelyard.dev/v1"))
    columns = [column for column in answer["columnDefinitions"] if wide or column["priority"] == 0]
    names = [column["name"].upper() for column in columns]
    places = [answer["columnDefinitions"].index(column) for column in columns]
    return [dict(zip(names, (row["cells"][place] for place in places), strict=True)) for row in answer["rows"]]


def test_the_model_answers_through_its_service(yard: ClusterYard) -> None:
    assert "Paris" in yard.ask(CHAT, CAPITAL)
    assert yard.conditions(CHAT) == READY
    service = yard.api.get(yard.path("services", CHAT))
    assert (service["spec"]["type"], service["spec"]["ports"][0]["port"]) == ("ClusterIP", 80)


def test_the_node_is_karpenter_s_and_only_the_model_s(yard: ClusterYard) -> None:
    [worker] = yard.pods(CHAT, "worker")
    node = yard.api.get(f"/api/v1/nodes/{worker['spec']['nodeName']}")
    assert node["metadata"]["labels"]["node.kubernetes.io/instance-type"] == A100
    assert {"key": "sku", "value": "gpu", "effect": "NoSchedule"} in node["spec"]["taints"]
    [head] = yard.pods(CHAT, "head")
    assert head["spec"]["nodeName"] != worker["spec"]["nodeName"], "Ray's head holds a GPU node"


def test_kubectl_shows_the_workspace_as_kaito_s_users_know_it(yard: ClusterYard) -> None:
    [row] = table(yard)
    assert list(row) == ["NAME", "INSTANCE", "RESOURCEREADY", "INFERENCEREADY", "WORKSPACEREADY", "AGE"]
    assert [row[column] for column in list(row)[:5]] == [CHAT, A100, "True", "True", "True"]
    [row] = table(yard, wide=True)
    assert row["MODEL"] == "smollm2-135m-instruct"
    assert row["ENDPOINT"] == f"http://{CHAT}.{yard.namespace}.svc.cluster.local/v1"
    assert row["COST"].startswith("US$ ")


def test_the_workspace_tells_how_it_became_ready_in_conditions_and_events(yard: ClusterYard) -> None:
    status = yard.workspace(CHAT)["status"]
    assert {each["type"]: each["status"] for each in status["conditions"]} == READY
    assert status["performance"]["tokensPerMinute"] > 0
    about = [e for e in yard.api.items(yard.path("events")) if e["involvedObject"]["kind"] == "Workspace"]
    assert "ReplicasReady" in {event["reason"] for event in about}, about


def test_pods_are_nobody_s_root_and_hold_no_token(yard: ClusterYard) -> None:
    for part in ("head", "worker"):
        [pod] = yard.pods(CHAT, part)
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
        assert pod["spec"]["automountServiceAccountToken"] is False
        for container in pod["spec"]["containers"] + pod["spec"].get("initContainers", []):
            assert container["securityContext"]["readOnlyRootFilesystem"] is True, container["name"]
            assert container["securityContext"]["allowPrivilegeEscalation"] is False, container["name"]


def test_a_second_update_changes_nothing(yard: ClusterYard) -> None:
    before = yard.reconciled(CHAT)
    again = yard.pulumi("up").expect().text
    assert re.search(r"Resources:\s+\d+ unchanged\s+Duration", again), again
    assert yard.reconciled(CHAT) == before


def test_a_refresh_finds_no_difference(yard: ClusterYard) -> None:
    shown = yard.pulumi("refresh").expect().text
    assert "updated" not in shown, shown


def test_a_preview_is_complete_while_the_cluster_is_down(yard: ClusterYard, rig: Rig) -> None:
    here = yard.pulumi("preview").expect().text
    kubeconfig = yard.folder / "elsewhere.yaml"
    kubeconfig.write_text(rig.admin.read_text().replace(f"https://localhost:{rig.port}", NOBODY))
    reached = yard.environment["KUBECONFIG"]
    yard.environment["KUBECONFIG"] = str(kubeconfig)
    try:
        away = yard.pulumi("preview").expect().text
    finally:
        yard.environment["KUBECONFIG"] = reached
    assert plan_in(away) == plan_in(here)


def plan_in(shown: str) -> list[str]:
    """The lines of the plan that a preview prints."""
    lines = [line.strip() for line in shown.splitlines()]
    return [line for line in lines if A100 in line or line.startswith("total:")]


def test_make_status_shows_what_the_cluster_shows(yard: ClusterYard) -> None:
    shown = yard.status()
    assert A100 in shown, shown
    assert shown.count("True") >= 3, shown
    assert f"{CHAT} answers at http://{CHAT}.{yard.namespace}.svc.cluster.local/v1" in shown, shown


def test_kubectl_waits_for_the_workspace(yard: ClusterYard, rig: Rig) -> None:
    kubectl = ["kubectl", "--kubeconfig", str(rig.admin), "-n", yard.namespace]
    waited = subprocess.run(
        [*kubectl, "wait", "--for=condition=WorkspaceReady", f"ws/{CHAT}", "--timeout=10s"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert waited.returncode == 0, waited.stderr


def test_no_secret_and_no_login_is_in_the_state(yard: ClusterYard, rig: Rig) -> None:
    state = json.dumps(yard.resources())
    assert "client-key-data" not in state
    assert "PRIVATE KEY" not in state
    assert str(rig.admin) not in state, "the login comes from the environment, and stays there"
