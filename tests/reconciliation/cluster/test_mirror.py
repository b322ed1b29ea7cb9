"""The mirror that kubectl's users look at: what is written, how often, and what is said when it cannot be."""

from __future__ import annotations

import copy
import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import pytest
import yaml

from components.fingerprints import PROJECT
from components.reconciliation.cluster.api import ClusterApi, Json, Login
from components.reconciliation.cluster.mirror import (
    KIND_VERSION,
    Mirror,
    MirrorSpec,
    MirrorStatus,
    Owner,
    Performance,
    ensure_kind,
    kind_definition,
    remove,
    status_fields,
    workspace_object,
)
from components.reconciliation.state import Condition, ConditionType, Status

DEPLOY = PROJECT / "deploy"
CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/workspaces.modelyard.dev"
CHAT = "/apis/modelyard.dev/v1/namespaces/models/workspaces/chat"
EVENTS = "/api/v1/namespaces/models/events"
KAITO_COLUMNS = ["INSTANCE", "RESOURCEREADY", "INFERENCEREADY", "WORKSPACEREADY", "AGE"]
"""What `kubectl get workspace` prints behind NAME where KAITO is installed."""

SPEC = MirrorSpec(
    namespace="models",
    name="chat",
    stack="prod",
    project="modelyard",
    kind="inference",
    model="phi-3-mini-4k-instruct",
    instance="Standard_NC24ads_A100_v4",
    nodes=1,
    replicas=1,
    adapters=("pirate",),
    cost="US$ 3.67/h",
)


def condition(kind: ConditionType, status: Status, reason: str, message: str = "as it is") -> Condition:
    return Condition(
        type=kind, status=status, reason=reason, message=message, last_transition_time="2026-08-01T10:00:00Z"
    )


def inference(status: Status, reason: str, message: str = "as it is", *, final: bool = False) -> MirrorStatus:
    return MirrorStatus(conditions=[condition("InferenceReady", status, reason, message)], final=final)


STARTING = inference("False", "ReplicasStarting")
READY = inference("True", "ReplicasReady")
FAILED = MirrorStatus(
    conditions=[
        condition("ResourceReady", "True", "NodesReady"),
        condition("WorkspaceReady", "False", "EngineDied", "ended by SIGKILL"),
    ],
    endpoint="http://chat.models.svc/v1",
    phases={"load": 12.5},
    performance=Performance(tokens_per_minute=9000.0, time_to_first_token_seconds=0.04),
    worker_nodes=("gpu-1",),
)
"""With every field that a status may have."""


class ApiServer:
    """An API server for the paths that the mirror uses: apply, merge, generations, one status apart from the spec."""

    def __init__(self) -> None:
        self.objects: dict[str, Json] = {}
        self.requests: list[str] = []
        self.forbidden: set[str] = set()
        """Prefixes of "VERB PATH"."""
        self.established = True

    def answer(self, method: str, path: str, content_type: str, body: Json) -> tuple[int, Json]:
        self.requests.append(f"{method} {path}")
        if any(f"{method} {path}".startswith(prefix) for prefix in self.forbidden):
            return 403, {"message": f"cannot {method} {path}"}
        if path == "/apis/modelyard.dev/v1":
            return (200, {"resources": [{"kind": "Workspace"}]}) if CRD in self.objects else (404, {})
        if path.startswith("/apis/modelyard.dev/") and CRD not in self.objects:
            return 404, {"message": "the server could not find the requested resource"}
        if method == "POST":
            return self._create(f"{path}/{body['metadata']['name']}", body)
        if method == "PATCH" and content_type.startswith("application/apply-patch"):
            return self._apply(path, body)
        if path not in self.objects:
            return 404, {"message": "not found", "details": {"name": path.rsplit("/", 1)[-1]}}
        if method == "DELETE":
            return 200, self.objects.pop(path)
        self.objects[path] |= body if method == "PATCH" else {}
        return 200, self.objects[path]

    def _create(self, path: str, body: Json) -> tuple[int, Json]:
        if path in self.objects:
            return 409, {"message": "already exists"}
        self.objects[path] = body
        return 201, body

    def _apply(self, path: str, body: Json) -> tuple[int, Json]:
        if path.endswith("/status"):
            self.objects[path.removesuffix("/status")]["status"] = body["status"]
            return 200, {}
        old = self.objects.get(path, {"metadata": {"generation": 0, "uid": f"uid-{len(self.requests)}"}})
        if path == CHAT and old.get("spec", body["spec"])["kind"] != body["spec"]["kind"]:
            return 422, {"message": "the kind does not change", "details": {"causes": [{"field": "spec.kind"}]}}
        changed = old.get("spec") != body["spec"]
        metadata = old["metadata"] | body["metadata"] | {"generation": old["metadata"]["generation"] + changed}
        self.objects[path] = old | body | {"metadata": metadata}
        if path == CRD:
            settled = {"type": "Established", "status": str(self.established), "message": "names are in use"}
            self.objects[path]["status"] = {"conditions": [settled]}
        return 200, self.objects[path]

    def events(self) -> list[Json]:
        return [each for path, each in self.objects.items() if path.startswith(EVENTS)]

    def told(self) -> list[tuple[str, str, int]]:
        return [(each["type"], each["message"], each["count"]) for each in self.events()]


@pytest.fixture
def server() -> ApiServer:
    server = ApiServer()
    server.answer("PATCH", CRD, "application/apply-patch+yaml", copy.deepcopy(kind_definition()))
    server.requests.clear()
    return server


@pytest.fixture
def api(server: ApiServer, tmp_path: Path) -> Iterator[ClusterApi]:
    """The real client, logged in to `server`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            status, answer = server.answer(
                self.command, urlsplit(self.path).path, self.headers["Content-Type"], json.loads(body or b"{}")
            )
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        do_POST = do_PATCH = do_DELETE = do_GET

        def log_message(self, format: str, *args: object) -> None:
            return

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True).start()
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(login_to(f"http://127.0.0.1:{http.server_port}")))
    yield ClusterApi(Login(kubeconfig=str(kubeconfig)))
    http.shutdown()
    http.server_close()


def login_to(url: str) -> Json:
    return {
        "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    }


def test_the_object_has_what_kubectl_shows(api: ClusterApi, server: ApiServer) -> None:
    assert Mirror(api, now=lambda: "2026-08-01T11:00:00Z").write(SPEC, FAILED) == ""
    written = server.objects[CHAT]
    labels = {"app.kubernetes.io/managed-by": "modelyard", "modelyard.dev/stack": "prod"}
    assert written["metadata"]["labels"] == {**labels, "modelyard.dev/workspace": "chat"}
    assert "never read" in written["metadata"]["annotations"]["modelyard.dev/mirror"]
    assert written["spec"] == yaml.safe_load("""
        {stack: prod, project: modelyard, kind: inference, model: phi-3-mini-4k-instruct, nodes: 1, replicas: 1,
         instance: Standard_NC24ads_A100_v4, adapters: [pirate], cost: US$ 3.67/h}
    """)
    conditions = written["status"].pop("conditions")
    assert conditions[1] == {**FAILED.conditions[1].to_output(), "observedGeneration": 1}
    assert written["status"] == {
        "observedGeneration": 1,
        "endpoint": "http://chat.models.svc/v1",
        "reason": "EngineDied",
        "phases": {"load": 12.5},
        "performance": {"tokensPerMinute": 9000.0, "timeToFirstTokenSeconds": 0.04},
        "workerNodes": ["gpu-1"],
        "updatedAt": "2026-08-01T11:00:00Z",
    }


def test_the_object_goes_with_what_serves_also_where_somebody_deletes_that_by_hand(
    api: ClusterApi, server: ApiServer
) -> None:
    owner = Owner(apiVersion="ray.io/v1", kind="RayService", name="chat", uid="u-1")
    assert Mirror(api).write(SPEC, FAILED, owner) == ""
    assert server.objects[CHAT]["metadata"]["ownerReferences"] == [
        {"apiVersion": "ray.io/v1", "kind": "RayService", "name": "chat", "uid": "u-1"}
    ]


def test_no_change_is_no_request(api: ClusterApi, server: ApiServer) -> None:
    mirror = Mirror(api)
    mirror.write(SPEC, READY)
    assert server.requests == [f"PATCH {CHAT}", f"PATCH {CHAT}/status", f"POST {EVENTS}"]
    server.requests.clear()
    assert mirror.write(SPEC, READY) == ""
    assert server.requests == [], "a poll that finds nothing new asks the API server something"
    mirror.write(SPEC, replace(READY, endpoint="http://elsewhere/v1"))
    assert len(server.requests) == 2, "an event is written though no condition has changed"


def test_another_process_repeats_no_event(api: ClusterApi, server: ApiServer) -> None:
    Mirror(api).write(SPEC, READY)
    server.requests.clear()
    assert Mirror(api).write(SPEC, READY) == ""
    assert server.requests == [f"PATCH {CHAT}", f"PATCH {CHAT}/status"]


def test_events_tell_what_changed_and_count_what_comes_again(api: ClusterApi, server: ApiServer) -> None:
    mirror = Mirror(api)
    mirror.write(SPEC, STARTING)
    mirror.write(SPEC, inference("False", "ReplicasStarting", "1 of 2 replicas run"))
    assert server.told() == [("Normal", "InferenceReady is False: as it is", 1)], "a message alone is an event"
    mirror.write(SPEC, inference("False", "OutOfMemory", "9 GiB are missing"))
    mirror.write(SPEC, inference("False", "ReplicasStarting", "0 of 2 replicas run"))
    assert server.told() == [
        ("Normal", "InferenceReady is False: 0 of 2 replicas run", 2),
        ("Warning", "InferenceReady is False: 9 GiB are missing", 1),
    ]
    event = server.events()[0]
    assert event["involvedObject"] == {
        "apiVersion": "modelyard.dev/v1",
        "kind": "Workspace",
        "name": "chat",
        "namespace": "models",
        "uid": server.objects[CHAT]["metadata"]["uid"],
    }, "kubectl describe looks events up by these fields"
    assert (event["reason"], event["source"]) == ("ReplicasStarting", {"component": "modelyard"})


def test_what_was_ready_and_is_no_more_is_a_warning(api: ClusterApi, server: ApiServer) -> None:
    mirror = Mirror(api)
    mirror.write(SPEC, READY)
    mirror.write(SPEC, STARTING)
    assert [kind for kind, _, _ in server.told()] == ["Normal", "Warning"]


def test_the_end_of_a_wait_is_a_warning(api: ClusterApi, server: ApiServer) -> None:
    mirror = Mirror(api)
    mirror.write(SPEC, STARTING)
    mirror.write(SPEC, inference("False", "ReplicasStarting", "still 0 of 1 after 600 s", final=True))
    assert server.told() == [("Warning", "InferenceReady is False: still 0 of 1 after 600 s", 2)]


def test_what_was_edited_by_hand_is_set_right(api: ClusterApi, server: ApiServer) -> None:
    mirror = Mirror(api)
    mirror.write(SPEC, STARTING)
    server.objects[CHAT]["spec"]["model"] = "mine"
    server.objects[CHAT]["status"]["endpoint"] = "http://mine"
    mirror.write(SPEC, READY)
    assert server.objects[CHAT]["spec"]["model"] == SPEC.model
    assert "endpoint" not in server.objects[CHAT]["status"]


def test_a_leftover_of_another_kind_is_replaced(api: ClusterApi, server: ApiServer) -> None:
    Mirror(api).write(SPEC, READY)
    tuning = replace(SPEC, kind="tuning", adapters=(), replicas=None)
    assert Mirror(api).write(tuning, READY) == ""
    assert server.objects[CHAT]["spec"]["kind"] == "tuning"


def test_a_write_that_is_not_permitted_is_said_and_not_tried_again(api: ClusterApi, server: ApiServer) -> None:
    server.forbidden = {f"PATCH {CHAT}"}
    mirror = Mirror(api)
    said = mirror.write(SPEC, STARTING)
    assert said.startswith(f"kubectl get workspace does not show chat as it is: cannot PATCH {CHAT}")
    assert mirror.write(SPEC, READY) == said
    assert len(server.requests) == 1


def test_a_write_that_failed_is_tried_again(api: ClusterApi, server: ApiServer) -> None:
    definition = server.objects.pop(CRD)
    mirror = Mirror(api)
    assert "could not find the requested resource" in mirror.write(SPEC, READY)
    server.objects[CRD] = definition
    assert mirror.write(SPEC, READY) == ""


def test_events_that_are_not_permitted_leave_the_object_as_it_should_be(api: ClusterApi, server: ApiServer) -> None:
    server.forbidden = {f"POST {EVENTS}"}
    assert Mirror(api).write(SPEC, READY).startswith("kubectl describe workspace chat shows no events: cannot POST")
    assert server.objects[CHAT]["status"]["conditions"]


def test_the_kind_is_installed_once(api: ClusterApi, server: ApiServer) -> None:
    del server.objects[CRD]
    assert ensure_kind(api) == ""
    assert server.objects[CRD]["spec"] == kind_definition()["spec"]
    server.requests.clear()
    assert ensure_kind(api) == ""
    assert server.requests == [f"GET {CRD}"]


@pytest.mark.parametrize(
    ("installed", "kept"),
    [("0-aaaaaaaaaaaa", False), ("1-aaaaaaaaaaaa", False), ("", False), ("none", False), ("99-aaaaaaaaaaaa", True)],
)
def test_an_older_kind_is_replaced_and_a_newer_one_is_kept(
    api: ClusterApi, server: ApiServer, installed: str, kept: bool
) -> None:
    server.objects[CRD]["metadata"]["annotations"] = {KIND_VERSION: installed}
    assert ensure_kind(api) == ""
    assert (server.objects[CRD]["metadata"]["annotations"][KIND_VERSION] == installed) is kept


def test_a_kind_that_is_not_established_is_no_mirror(api: ClusterApi, server: ApiServer) -> None:
    del server.objects[CRD]
    server.established = False
    said = ensure_kind(api, seconds=0.3)
    assert said.startswith("kubectl get workspace shows nothing: its CRD is not established")
    assert "names are in use" in said


def test_a_login_that_may_not_install_the_kind_is_told_whom_to_ask(api: ClusterApi, server: ApiServer) -> None:
    del server.objects[CRD]
    server.forbidden = {f"PATCH {CRD}"}
    assert ensure_kind(api) == (
        "kubectl get workspace shows nothing: the CRD is not installed and this login may not install it; "
        "ask an administrator to kubectl apply -f deploy/workspace-crd.yaml"
    )


def test_a_login_that_may_not_even_read_kinds_uses_the_one_that_is_there(api: ClusterApi, server: ApiServer) -> None:
    server.forbidden = {f"GET {CRD}"}
    assert ensure_kind(api) == ""


def test_a_cluster_that_does_not_answer_fails_nothing(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(login_to("http://127.0.0.1:1")))
    api = ClusterApi(Login(kubeconfig=str(kubeconfig)))
    for said in (ensure_kind(api), Mirror(api).write(SPEC, READY), remove(api, "models", "chat")):
        assert "does not answer" in said


def test_a_workspace_is_removed_and_may_be_gone_already(api: ClusterApi, server: ApiServer) -> None:
    Mirror(api).write(SPEC, READY)
    assert remove(api, "models", "chat") == ""
    assert CHAT not in server.objects
    assert remove(api, "models", "chat") == ""


def version() -> Json:
    return cast("Json", kind_definition()["spec"]["versions"][0])


def test_kubectl_prints_the_columns_that_users_of_kaito_know() -> None:
    columns = [each for each in version()["additionalPrinterColumns"] if not each.get("priority")]
    assert [each["name"].upper() for each in columns] == KAITO_COLUMNS
    wide = [each["name"].upper() for each in version()["additionalPrinterColumns"] if each.get("priority") == 1]
    assert wide == ["MODEL", "NODES", "ENDPOINT", "COST", "REASON"]


def test_a_change_of_the_kind_is_a_new_version_of_it() -> None:
    text = json.dumps(kind_definition()["spec"], sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    assert kind_definition()["metadata"]["annotations"][KIND_VERSION].endswith(f"-{digest}"), (
        f"the kind has changed: write its {KIND_VERSION} with {digest}, and a higher number if this one was released"
    )


def test_every_field_that_is_written_is_one_that_the_kind_has() -> None:
    schema = version()["schema"]["openAPIV3Schema"]["properties"]
    assert list(pruned(schema["spec"], workspace_object(SPEC)["spec"], "spec")) == []
    assert list(pruned(schema["status"], status_fields(FAILED), "status")) == []


def pruned(schema: Json, value: object, path: str) -> Iterator[str]:
    """The fields of `value` that an API server would drop without a word."""
    for index, item in enumerate(cast("list[object]", value) if isinstance(value, list) else []):
        yield from pruned(schema["items"], item, f"{path}[{index}]")
    for key, item in (cast("dict[str, object]", value) if isinstance(value, dict) else {}).items():
        inner: Any = schema.get("properties", {}).get(key) or schema.get("additionalProperties")
        yield from pruned(inner, item, f"{path}.{key}") if inner else [f"{path}.{key}"]


def test_the_files_for_administrators_are_read_and_explained() -> None:
    readme = (DEPLOY / "README.md").read_text()
    for file in DEPLOY.glob("*.yaml"):
        assert all("kind" in each for each in yaml.safe_load_all(file.read_text())), file
        assert f"`{file.name}`" in readme
    roles = {each["metadata"]["name"]: each for each in yaml.safe_load_all((DEPLOY / "operator-rbac.yaml").read_text())}
    assert {name: each["kind"] for name, each in roles.items()} == {
        "modelyard-operator": "ClusterRole",
        "modelyard-workspaces": "Role",
    }
    granted = {
        resource
        for each in roles.values()
        for rule in each["rules"]
        for resource in [*rule["resources"], *rule["verbs"]]
    }
    assert "*" not in granted, "a permission for everything"
    assert not granted & {"roles", "rolebindings", "clusterroles", "bind", "escalate", "impersonate"}
