"""What Pulumi calls on a cluster: one dynamic resource for each workspace, whose objects Pulumi has applied before.

Pulumi keeps a reference to this class in the state (module and name, no data), so it may neither be renamed nor hold
anything. No property is a secret: a kubeconfig is named, not contained.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from pulumi.dynamic import ConfigureRequest, CreateResult, DiffResult, ReadResult, ResourceProvider, UpdateResult

from components.planning.render import canonical_json
from components.reconciliation.cluster import mirror
from components.reconciliation.cluster.act import send_applications
from components.reconciliation.cluster.api import ClusterApi, ClusterError, ClusterUnreachable, Login, Refused
from components.reconciliation.cluster.decide import decide, describe_drift
from components.reconciliation.cluster.lists import Lists
from components.reconciliation.cluster.observe import application_on, observe
from components.reconciliation.cluster.paths import RAY, namespaced
from components.reconciliation.cluster.ray_service import watched_cluster
from components.reconciliation.cluster.reconcile import Watch
from components.reconciliation.cluster.report import Report
from components.reconciliation.cluster.values import Wanted, WantedNodes
from components.reconciliation.cluster.warmup import measure, smoke
from components.reconciliation.decide import transition
from components.reconciliation.lifeline import end_with_engine
from components.reconciliation.many_calls import widen
from components.reconciliation.progress import say
from components.reconciliation.service import NotReady
from components.reconciliation.smoke import SmokeFailed
from components.reconciliation.state import not_ready

Props = dict[str, Any]

INPUTS = ("name", "namespace", "kubeconfig", "context", "wanted", "mirror", "endpoint", "readyTimeoutSeconds")
_DRAIN_SECONDS = 90
_GIVE_UP = "PULUMI_K8S_DELETE_UNREACHABLE"
"""Pulumi's Kubernetes provider looks at the same variable for the objects that it has applied."""
_logins: dict[Login, tuple[ClusterApi, Lists]] = {}
_lock = threading.Lock()


class ClusterReconciliationFailed(Exception):
    """Ends `pulumi up` with one sentence: the reason and the way out."""


class ClusterWorkspaceProvider(ResourceProvider):
    """One workspace on a cluster."""

    serialize_as_secret_always = False

    def configure(self, req: ConfigureRequest) -> None:
        """Pulumi calls this once in every process that it starts for this class."""
        end_with_engine()
        widen()

    def diff(self, _id: str, _olds: Props, _news: Props) -> DiffResult:
        # Another login need not be another cluster, so it replaces nothing: a delete would end what was just made.
        moved = [key for key in ("name", "namespace") if _olds.get(key) != _news.get(key)]
        changed = bool(_olds.get("drift")) or any(_olds.get(key) != _news.get(key) for key in INPUTS)
        return DiffResult(changes=changed, replaces=moved)

    def create(self, props: Props) -> CreateResult:
        return CreateResult(f"{props['namespace']}/{props['name']}", _reconciled(props, {}))

    def update(self, _id: str, _olds: Props, _news: Props) -> UpdateResult:
        return UpdateResult(_reconciled(_news, _olds))

    def read(self, id_: str, props: Props) -> ReadResult:
        """What refresh shows: conditions as they are now, and under `drift` what differs from what is wanted."""
        wanted = found_of(props)
        with _explained(wanted.name):
            api, lists = _login(props)
            seen = observe(api, lists, wanted)
            missing = mirror.lack(api, wanted.namespace, wanted.name) if props.get("mirrored") else ""
        conditions = transition(decide(wanted, seen).findings, props["conditions"], mirror.utc_now())
        drift = describe_drift(wanted, seen) or missing
        return ReadResult(id_, {**props, "conditions": [each.to_output() for each in conditions], "drift": drift})

    def delete(self, _id: str, _props: Props) -> None:
        """Let requests in flight end; then Pulumi deletes what served them."""
        wanted = wanted_of(_props)
        with _explained(wanted.name):
            api, lists = _login(_props)
            try:
                _drain(api, lists, wanted)
                mirror.remove(api, wanted.namespace, wanted.name)
            except ClusterUnreachable as problem:
                if os.environ.get(_GIVE_UP, "").lower() != "true":
                    raise ClusterUnreachable(
                        f"{problem}; if the cluster is gone for good, give its objects up: {_GIVE_UP}=true pulumi "
                        "destroy"
                    ) from problem


def wanted_of(props: Mapping[str, Any]) -> Wanted:
    """What the plan wants, from the properties of the resource."""
    plain: dict[str, Any] = json.loads(props["wanted"])
    nodes = WantedNodes(**plain.pop("nodes"))
    return Wanted(name=props["name"], namespace=props["namespace"], nodes=nodes, **plain)


def found_of(props: Mapping[str, Any]) -> Wanted:
    """The same for whoever only looks: a failed deployment is told of, and not begun again."""
    return replace(wanted_of(props), sent=True)


def login_of(props: Mapping[str, Any]) -> Login:
    return Login(kubeconfig=props.get("kubeconfig") or "", context=props.get("context") or "")


def _login(props: Mapping[str, Any]) -> tuple[ClusterApi, Lists]:
    """One client for all workspaces of a login, so that they share connections and lists."""
    login = login_of(props)
    with _lock:
        if login not in _logins:
            api = ClusterApi(login)
            _logins[login] = api, Lists(api)
        return _logins[login]


def _reconciled(props: Props, olds: Props) -> Props:
    """Wait until it is ready; the outputs. Raises ClusterReconciliationFailed."""
    wanted = wanted_of(props)
    with _explained(wanted.name):
        api, lists = _login(props)
        if sentence := mirror.ensure_kind(api):
            say(f"{wanted.name}: {sentence}")
        report = Report(api, props, olds)
        watch = Watch(
            api=api,
            lists=lists,
            wanted=wanted,
            say=say,
            tell=report.waiting,
            limit_seconds=props.get("readyTimeoutSeconds"),
        )
        lists.forget()
        reached = watch.until_ready()
        if wanted.kind == "template":
            return report.ready(reached, {}, None)
        begun = time.monotonic()
        try:
            seconds = smoke(api, wanted)
        except SmokeFailed as error:
            finding = not_ready("SmokePromptFailed", str(error))
            report.failed(reached, finding)
            raise NotReady(wanted.name, finding) from error
        performance = measure(api, wanted)
        say(f"{wanted.name}: {reached.verdict.findings['InferenceReady'].message}, the smoke prompt too")
        return report.ready(reached, {"smokePrompt": seconds, "warmup": time.monotonic() - begun}, performance)


def _drain(api: ClusterApi, lists: Lists, wanted: Wanted) -> None:
    """Take the application out of Ray Serve, which lets streams end; wait for its replicas to be gone, or for long
    enough. A Ray that does not answer has nothing to drain."""
    if wanted.kind == "template":
        return
    seen = observe(api, lists, wanted)
    cluster = watched_cluster(seen.main) if seen.main is not None else ""
    if not cluster or seen.application is None:
        return
    service = namespaced(RAY, wanted.namespace, "rayservices", wanted.name)
    try:
        # An empty config first: KubeRay would send the application again as soon as it sees none.
        api.merge(service, {"spec": {"serveConfigV2": canonical_json({"applications": []})}})
        send_applications(api, wanted.namespace, cluster, [])
    except Refused:
        return  # it is gone, or its Ray does not answer any more
    until = time.monotonic() + _DRAIN_SECONDS
    while time.monotonic() < until and application_on(api, wanted.namespace, cluster)[0] is not None:
        time.sleep(0.5)


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Failures that have a cause and a way out, as the one exception whose text is for people."""
    try:
        yield
    except NotReady as problem:
        raise ClusterReconciliationFailed(
            f"{problem}. What was applied stays on the cluster, and heals there if it can: kubectl describe workspace "
            f"{name}; pulumi up goes on from what it finds"
        ) from problem
    except ClusterUnreachable as problem:
        raise ClusterReconciliationFailed(
            f"workspace {name}: {problem.reason}: {problem}; what was applied stays, pulumi up goes on from there"
        ) from problem
    except ClusterError as problem:
        raise ClusterReconciliationFailed(f"workspace {name}: {problem.reason}: {problem}") from problem
