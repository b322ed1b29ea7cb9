"""What Pulumi calls: when a workspace is replaced, what an update leaves behind, what a refresh and a destroy do."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from components.cluster_status import cluster_status
from components.deployed_state import CLUSTER_TYPE, from_resources
from components.planning.render import canonical_json
from components.reconciliation.cluster import provider, reconcile
from components.reconciliation.cluster.api import ClusterApi, ClusterUnreachable, Login
from components.reconciliation.cluster.lists import Lists
from components.reconciliation.cluster.mirror import kind_definition
from components.reconciliation.cluster.provider import (
    INPUTS,
    ClusterReconciliationFailed,
    ClusterWorkspaceProvider,
    login_of,
    wanted_of,
)
from tests.reconciliation.cluster.objects import NAMESPACE, node
from tests.reconciliation.cluster.seen import (
    CONFIG,
    CORE,
    DASHBOARD,
    DIGEST,
    ENDPOINT,
    RAY,
    WANTED,
    Clock,
    FakeApi,
    deployment,
    head,
    measured,
    served,
    worker,
)

Props = dict[str, Any]
CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/workspaces.modelyard.dev"
MIRROR = f"/apis/modelyard.dev/v1/namespaces/{NAMESPACE}/workspaces/chat"
WORKSPACE = ClusterWorkspaceProvider()
TOLD: Props = {
    "namespace": NAMESPACE,
    "name": "chat",
    "stack": "dev",
    "project": "modelyard",
    "kind": "inference",
    "model": "phi-4",
    "instance": "Standard_NC24ads_A100_v4",
    "nodes": 1,
    "replicas": 1,
    "adapters": [],
    "cost": "US$ 3.67/h",
}
PLAIN: Props = {
    "kind": "inference",
    "nodes": {"source": "existing", "count": 1, "selector": {}, "gpus": 2, "gpu": "A100-80GB", "memory_gib": 80.0},
    "replicas": 1,
    "application": CONFIG,
    "pods": DIGEST,
}


def inputs(**changes: object) -> Props:
    props: Props = {
        "name": "chat",
        "namespace": NAMESPACE,
        "kubeconfig": None,
        "context": None,
        "wanted": canonical_json(PLAIN),
        "mirror": canonical_json(TOLD),
        "endpoint": "http://chat.ml.svc.cluster.local/v1",
        "readyTimeoutSeconds": None,
    }
    assert props.keys() == set(INPUTS)
    return {**props, **changes}


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> FakeApi:
    """An API server with the workspace as it should be, and with our kind; nobody waits for anything."""
    api, clock = FakeApi(), Clock()
    served(api)
    kind = kind_definition() | {"status": {"conditions": [{"type": "Established", "status": "True"}]}}
    api.answers.put(f"GET {CRD}", body=kind)
    api.answers.put(f"GET {MIRROR}", body={"metadata": {"name": "chat"}})
    mirrored = {"metadata": {"name": "chat", "namespace": NAMESPACE, "uid": "u", "generation": 1}}
    api.answers.put(f"PATCH {MIRROR}", body=mirrored)
    api.answers.put(f"PATCH {MIRROR}/status", body=mirrored)
    api.answers.put(f"POST {CORE}/events", 201)
    api.answers.put(f"DELETE {MIRROR}")
    api.answers.put(f"PATCH {RAY}/rayservices/chat")
    api.answers.put(f"PUT {DASHBOARD}")
    lists = Lists(api, clock.monotonic)
    monkeypatch.setattr(provider, "time", clock)
    monkeypatch.setattr(reconcile, "time", clock)
    monkeypatch.setattr(provider, "_logins", {Login(): (api, lists)})
    return api


@pytest.fixture
def state(api: FakeApi) -> Props:
    """What a creation left."""
    outs = WORKSPACE.create(inputs()).outs
    assert outs is not None
    api.asked.clear()
    return dict(outs)


@pytest.mark.parametrize(
    ("changes", "replaces"),
    [
        pytest.param({"name": "other"}, ["name"], id="name"),
        pytest.param({"namespace": "other"}, ["namespace"], id="namespace"),
        pytest.param({"context": "prod"}, [], id="another context, which need not be another cluster"),
        pytest.param({"kubeconfig": "prod.yaml"}, [], id="another kubeconfig"),
        pytest.param({"wanted": "{}"}, [], id="the plan"),
        pytest.param({"mirror": "{}"}, [], id="what kubectl shows"),
        pytest.param({"endpoint": "https://chat.example.com/v1"}, [], id="endpoint"),
        pytest.param({"readyTimeoutSeconds": 60}, [], id="readyTimeoutSeconds"),
    ],
)
def test_every_input_counts_and_only_another_place_is_another_workspace(
    state: Props, changes: Props, replaces: list[str]
) -> None:
    found = WORKSPACE.diff("ml/chat", state, inputs(**changes))
    assert found.changes is True
    assert found.replaces == replaces


def test_no_change_is_no_change(state: Props) -> None:
    found = WORKSPACE.diff("ml/chat", state, inputs())
    assert (found.changes, found.replaces) == (False, [])


def test_drift_that_a_refresh_has_found_is_put_right_in_place(state: Props) -> None:
    found = WORKSPACE.diff("ml/chat", {**state, "drift": "RayServiceGone: gone"}, inputs())
    assert (found.changes, found.replaces) == (True, [])


def test_a_creation_leaves_what_the_stack_exports(api: FakeApi) -> None:
    created = WORKSPACE.create(inputs())
    outs = created.outs
    assert outs is not None
    assert created.id == "ml/chat"
    assert {each["type"]: each["status"] for each in outs["conditions"]} == {
        "ResourceReady": "True",
        "InferenceReady": "True",
        "WorkspaceReady": "True",
    }
    assert outs["performance"] == {"tokens_per_minute": 120.0, "time_to_first_token_seconds": 0.25}
    assert outs["phases"]["engine.engine"] == 12.5, "what the service says of its own start"
    assert outs["phases"].keys() >= {"smokePrompt", "warmup"}
    assert (outs["workerNodes"], outs["rayVersion"]) == (["gpu-1"], "2.60.0")
    assert (outs["mirrored"], outs["drift"]) == (True, "")
    assert json.loads(json.dumps(outs)) == outs, "the state holds plain values"
    touched = {each.path.partition("?")[0] for each in api.changes()}
    assert touched == {MIRROR, f"{MIRROR}/status", f"{CORE}/events", f"{ENDPOINT}/smoke"}, "what is there is adopted"


def test_what_is_kept_over_an_update(state: Props, api: FakeApi) -> None:
    api.answers.put(f"POST {ENDPOINT}/smoke", body={"usage": {"completion_tokens": 4}})
    first = {**state, "createdAt": "2026-01-01T00:00:00Z"}
    outs = WORKSPACE.update("ml/chat", first, inputs(readyTimeoutSeconds=60)).outs
    assert outs is not None
    assert outs["createdAt"] == "2026-01-01T00:00:00Z"
    assert outs["performance"] == state["performance"], "nothing was measured, and what was known is lost"
    assert outs["readyTimeoutSeconds"] == 60


def test_a_pod_template_is_not_asked_for_tokens(api: FakeApi) -> None:
    template = canonical_json({**PLAIN, "kind": "template", "application": {}, "pods": "", "replicas": 2})
    api.answers.list(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments", (deployment(),))
    outs = WORKSPACE.create(inputs(wanted=template, mirror=canonical_json({**TOLD, "kind": "template"}))).outs
    assert outs is not None
    assert (outs["performance"], outs["rayVersion"]) == ({}, "")
    assert not [each for each in api.asked if "smoke" in each.path]


def test_a_mirror_that_is_not_permitted_fails_no_update(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    for verb in ("GET", "PATCH"):
        api.answers.put(f"{verb} {CRD}", 403, {"message": "forbidden"})
    api.answers.put(f"PATCH {MIRROR}", 403, {"message": "workspaces is forbidden"})
    outs = WORKSPACE.create(inputs()).outs
    assert outs is not None
    assert outs["mirrored"] is False
    said = capsys.readouterr().out
    assert said.count("the CRD is not installed and this login may not install it") == 1
    assert said.count("workspaces is forbidden") == 1, "the same at every look"


def test_a_workspace_that_is_not_ready_ends_the_update_with_the_reason_and_the_way_out(api: FakeApi) -> None:
    api.answers.list(f"{RAY}/rayservices", ())
    with pytest.raises(ClusterReconciliationFailed) as failed:
        WORKSPACE.create(inputs(readyTimeoutSeconds=30))
    assert str(failed.value).startswith("workspace chat is not ready: RayServiceGone: still the RayService is gone")
    assert "What was applied stays on the cluster" in str(failed.value)
    assert "kubectl describe workspace chat" in str(failed.value)


def test_a_model_that_answers_with_nothing_is_not_ready(api: FakeApi) -> None:
    api.answers.put(f"POST {ENDPOINT}/smoke", body=measured(tokens=0))
    with pytest.raises(ClusterReconciliationFailed, match=r"SmokePromptFailed: the service chat answered .* no tokens"):
        WORKSPACE.create(inputs())


@pytest.mark.parametrize("call", ["create", "read", "delete"])
def test_a_cluster_that_does_not_answer_is_said_in_one_sentence(state: Props, api: FakeApi, call: str) -> None:
    silent = ClusterUnreachable("the API server https://c does not answer (timed out)")
    for request in list(api.answers.by_request):
        api.answers.by_request[request] = silent
    provider._logins[Login()] = api, Lists(api)
    calls: dict[str, Callable[[], object]] = {
        "create": lambda: WORKSPACE.create(inputs()),
        "read": lambda: WORKSPACE.read("ml/chat", state),
        "delete": lambda: WORKSPACE.delete("ml/chat", state),
    }
    with pytest.raises(ClusterReconciliationFailed, match=r"workspace chat: ClusterUnreachable: .*timed out"):
        calls[call]()


def test_a_refresh_that_finds_everything_as_it_was_changes_nothing(state: Props) -> None:
    found = WORKSPACE.read("ml/chat", state)
    assert found.outs == state


def test_a_refresh_tells_what_is_not_as_wanted_and_since_when(state: Props, api: FakeApi) -> None:
    old = [{**each, "lastTransitionTime": "2026-01-01T00:00:00Z"} for each in state["conditions"]]
    api.answers.list(f"{CORE}/pods", (head(), worker(ready=False)))
    api.answers.put(f"GET {ENDPOINT}/ready", 503, {"reason": "EngineRestarting", "message": "ended by SIGKILL"})
    provider._logins[Login()] = api, Lists(api)
    outs = WORKSPACE.read("ml/chat", {**state, "conditions": old}).outs
    assert outs is not None
    assert outs["drift"] == "EngineRestarting: ended by SIGKILL"
    times = {each["type"]: each["lastTransitionTime"] for each in outs["conditions"]}
    assert times["ResourceReady"] == "2026-01-01T00:00:00Z"
    assert times["InferenceReady"] > "2026-01-01T00:00:00Z"
    assert WORKSPACE.diff("ml/chat", dict(outs), inputs()).changes is True
    assert api.changes() == [], "a refresh only looks"


def test_a_refresh_tells_of_a_failed_deployment_what_failed(state: Props, api: FakeApi) -> None:
    failed = {"status": "DEPLOY_FAILED", "message": "StartupFailure: [OutOfMemory] 9 GiB are missing"}
    application = {**failed, "deployed_app_config": CONFIG, "deployments": {}}
    api.answers.put(f"GET {DASHBOARD}", body={"applications": {"chat": application}})
    outs = WORKSPACE.read("ml/chat", state).outs
    assert outs is not None
    assert outs["drift"].startswith("OutOfMemory: 9 GiB are missing"), (
        "a refresh retries nothing, and says that it does"
    )


def test_a_dashboard_that_the_api_server_does_not_reach_is_told_with_its_words(state: Props, api: FakeApi) -> None:
    api.answers.put(f"GET {DASHBOARD}", 503, {"kind": "Status", "message": "dial tcp 10.0.0.9:8265: i/o timeout"})
    outs = WORKSPACE.read("ml/chat", state).outs
    assert outs is not None
    assert outs["drift"].startswith("DashboardUnreachable: the API server cannot ask Ray's dashboard (503: dial tcp")


def test_a_mirror_that_somebody_has_deleted_is_drift(state: Props, api: FakeApi) -> None:
    del api.answers.by_request[f"GET {MIRROR}"]
    outs = WORKSPACE.read("ml/chat", state).outs
    assert outs is not None
    assert "kubectl get workspace does not show chat any more" in outs["drift"]
    never = WORKSPACE.read("ml/chat", {**state, "mirrored": False}).outs
    assert never is not None
    assert never["drift"] == "", "where there never was one, none is missing"


def test_a_destroy_lets_requests_end_before_anything_is_deleted(state: Props, api: FakeApi) -> None:
    def ending(_: object) -> tuple[int, object]:
        gone = len([each for each in api.asked if each.path == DASHBOARD and each.method == "GET"]) > 5
        return 200, {"applications": {} if gone else {"chat": {"status": "DELETING", "deployed_app_config": CONFIG}}}

    api.answers.by_request[f"GET {DASHBOARD}"] = ending
    WORKSPACE.delete("ml/chat", state)
    changes = [(each.method, each.path.partition("?")[0], each.body) for each in api.changes()]
    assert changes == [
        ("PATCH", f"{RAY}/rayservices/chat", {"spec": {"serveConfigV2": '{"applications":[]}'}}),
        ("PUT", DASHBOARD, {"applications": []}),
        ("DELETE", MIRROR, {"propagationPolicy": "Background"}),
    ]
    assert len([each for each in api.asked if each.path == DASHBOARD and each.method == "GET"]) == 6


def test_a_destroy_does_not_wait_for_a_stream_for_ever(state: Props, api: FakeApi) -> None:
    clock = Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(provider, "time", clock)
        WORKSPACE.delete("ml/chat", state)
    assert 89 <= clock.now - 1000 <= 92


@pytest.mark.parametrize(
    "gone",
    [
        pytest.param(f"{RAY}/rayservices", id="the RayService is gone"),
        pytest.param(f"{CORE}/pods", id="no pod answers"),
    ],
)
def test_a_destroy_has_nothing_to_drain_where_nothing_serves(state: Props, api: FakeApi, gone: str) -> None:
    api.answers.list(gone, ())
    provider._logins[Login()] = api, Lists(api)
    WORKSPACE.delete("ml/chat", state)
    assert [(each.method, each.path) for each in api.changes()] == [("DELETE", MIRROR)]


def test_another_kubeconfig_for_the_same_cluster_does_not_end_what_serves(state: Props, api: FakeApi) -> None:
    moved = inputs(kubeconfig="elsewhere.yaml")
    provider._logins[Login(kubeconfig="elsewhere.yaml")] = provider._logins[Login()]
    if WORKSPACE.diff("ml/chat", state, moved).replaces:
        WORKSPACE.create(moved)
        WORKSPACE.delete("ml/chat", state)
    assert not [each for each in api.changes() if each.path == DASHBOARD]


def test_workspaces_of_one_login_share_their_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provider, "_logins", {})
    monkeypatch.setattr(provider, "ClusterApi", lambda _: FakeApi())
    first, again = provider._login(inputs()), provider._login(inputs(name="other"))
    assert first is again
    assert provider._login(inputs(context="prod")) is not first
    assert isinstance(first[0], ClusterApi)


def test_a_login_is_named_and_not_contained() -> None:
    assert login_of(inputs(kubeconfig="k.yaml", context="prod")) == Login(kubeconfig="k.yaml", context="prod")
    assert login_of(inputs()) == Login()


def test_what_is_wanted_is_read_out_of_the_state() -> None:
    assert wanted_of(inputs()) == WANTED


def test_the_state_holds_a_reference_to_the_class_and_no_data() -> None:
    assert pickle.loads(pickle.dumps(WORKSPACE)).__dict__ == {}
    assert len(pickle.dumps(WORKSPACE)) < 200


def test_make_status_shows_what_is_there_now_and_why_something_is_not(state: Props, api: FakeApi) -> None:
    resource = {"type": CLUSTER_TYPE, "outputs": state}
    deployed = from_resources([resource, {"type": CLUSTER_TYPE, "outputs": {"name": "half"}}]).on_cluster
    assert list(deployed) == ["chat"], "what another version has written is left out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("components.cluster_status.ClusterApi", lambda _: api)
        ready = cluster_status(deployed)
        api.answers.list("/api/v1/nodes", (node(gpus=0),))
        broken = cluster_status(deployed)
        api.answers.by_request[f"GET {CORE}/pods"] = ClusterUnreachable("the API server does not answer")
        silent = cluster_status(deployed)
    heading, row = ready.splitlines()[:2]
    assert heading.split() == ["NAME", "INSTANCE", "RESOURCEREADY", "INFERENCEREADY", "WORKSPACEREADY", "AGE"]
    assert row.split()[:5] == ["chat", "Standard_NC24ads_A100_v4", "True", "True", "True"]
    assert "chat answers at http://chat.ml.svc.cluster.local/v1" in ready
    assert "chat: ResourceReady is False: NodesMissing: " in broken
    assert "answers at" not in broken
    assert silent.startswith("ClusterUnreachable: the API server does not answer. As of the last update:\n")
    assert silent.splitlines()[2].split()[2:5] == ["True", "True", "True"]
