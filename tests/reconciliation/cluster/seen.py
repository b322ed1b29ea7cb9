"""A workspace on a cluster as it is wanted and seen, an API server that only answers, a clock that nobody waits for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from components.reconciliation.cluster.api import ClusterApi, Json, Login, Method
from components.reconciliation.cluster.values import Seen, Wanted, WantedNodes
from components.reconciliation.state import Application, Readiness, Replica
from tests.reconciliation.cluster.objects import NAMESPACE, RUNNING, container, node, nodes, pod

CORE = f"/api/v1/namespaces/{NAMESPACE}"
RAY = f"/apis/ray.io/v1/namespaces/{NAMESPACE}"
DASHBOARD = f"{CORE}/services/http:chat-aaaaa-head-svc:dashboard/proxy/api/serve/applications/"
ENDPOINT = f"{CORE}/services/http:chat:serve/proxy"
DIGEST = "d19e57"

CONFIG: dict[str, Any] = {"name": "chat", "route_prefix": "/", "deployments": [{"name": "M", "num_replicas": 1}]}
NODES = WantedNodes(source="existing", count=1, selector={}, gpus=2, gpu="A100-80GB", memory_gib=80)
WANTED = Wanted(
    name="chat", namespace=NAMESPACE, kind="inference", nodes=NODES, replicas=1, application=CONFIG, pods=DIGEST
)
TEMPLATE = Wanted(name="chat", namespace=NAMESPACE, kind="template", nodes=NODES, replicas=2)


def service(active: str = "chat-aaaaa", pending: str = "", *, looked_at: bool = True, refused: str = "") -> Json:
    """The RayService; active and pending are the RayClusters that KubeRay has made of it."""
    ready = {"type": "Ready", "status": "False", "reason": "ValidationFailed", "message": refused}
    return {
        "metadata": {"name": "chat", "generation": 2},
        "status": {
            # KubeRay never counts what it refuses as looked at.
            "observedGeneration": 2 if looked_at and not refused else 1,
            "activeServiceStatus": {"rayClusterName": active} if active else {},
            "pendingServiceStatus": {"rayClusterName": pending} if pending else {},
            "conditions": [ready] if refused else [],
        },
    }


def ray(name: str = "chat-aaaaa", *, pods: str = DIGEST, workers: int = 1, leaving: bool = False) -> Json:
    """A RayCluster that is asked to have so many workers."""
    metadata: Json = {
        "name": name,
        "annotations": {"modelyard.dev/pods": pods},
        "labels": {"modelyard.dev/workspace": "chat"},
    }
    if leaving:
        metadata["deletionTimestamp"] = "2026-08-21T10:00:00Z"
    groups = [{"groupName": "other", "replicas": 7}, {"groupName": "gpu", "replicas": workers}]
    return {"metadata": metadata, "spec": {"rayVersion": "2.60.0", "workerGroupSpecs": groups}}


def rays(*found: Json) -> dict[str, Json]:
    return {each["metadata"]["name"]: each for each in found or (ray(),)}


def head(cluster: str = "chat-aaaaa", *, ready: bool = True) -> Json:
    return _pod(
        f"{cluster}-head", "ray-head", cluster, {"ray.io/node-type": "head", "modelyard.dev/part": "head"}, ready
    )


def worker(
    number: int = 1,
    cluster: str = "chat-aaaaa",
    *,
    on: str = "gpu-1",
    address: str | None = None,
    ready: bool = True,
    leaving: bool = False,
) -> Json:
    """A worker's pod, at 10.0.0.NUMBER unless another address is given."""
    name = f"{cluster}-gpu-worker-{number}"
    found = _pod(name, "ray-worker", cluster, {"ray.io/node-type": "worker", "modelyard.dev/part": "worker"}, ready)
    found["spec"]["nodeName"] = on
    found["status"]["podIP"] = f"10.0.0.{number}" if address is None else address
    if leaving:
        found["metadata"]["deletionTimestamp"] = "2026-08-21T10:00:00Z"
    return found


def _pod(name: str, main: str, cluster: str, labels: dict[str, str], ready: bool) -> Json:
    conditions = [{"type": "Ready", "status": str(ready)}]
    ours = {"modelyard.dev/workspace": "chat", "ray.io/cluster": cluster, **labels}
    status = {"conditions": conditions}
    return pod(name, container(main, RUNNING, ready=ready), phase="Running", labels=ours, status=status)


def running(*numbers: int, starting: int = 0, config: dict[str, Any] = CONFIG) -> Application:
    """An application whose replicas are in the workers of these numbers; others start, in no worker yet."""
    replicas = [Replica(state="RUNNING", address=f"10.0.0.{number}") for number in numbers or (1,)]
    return Application(status="RUNNING", config=config, replicas=(*replicas, *[Replica(state="STARTING")] * starting))


SEEN = Seen(
    main=service(),
    clusters=rays(),
    pods=(head(), worker()),
    nodes=nodes(node()),
    endpoint={"metadata": {"name": "chat"}, "spec": {"type": "ClusterIP"}},
    application=running(),
    readiness=Readiness(ok=True),
)
"""Everything is as it is wanted."""


def deployment(updated: int = 2, available: int = 2, *, total: int | None = None, stuck: str = "") -> Json:
    """The Deployment of a template."""
    conditions = [{"type": "Progressing", "status": "False", "message": stuck}] if stuck else []
    counts = {"updatedReplicas": updated, "availableReplicas": available, "replicas": total or updated}
    return {
        "metadata": {"name": "chat", "generation": 1, "labels": {"modelyard.dev/workspace": "chat"}},
        "status": {"observedGeneration": 1, "conditions": conditions, **counts},
    }


Answer = tuple[int, object] | Exception


@dataclass
class Request:
    method: str
    path: str
    body: Any
    content_type: str


@dataclass
class Answers:
    """What an API server says, by "VERB PATH" without the query; what is not there is 404."""

    by_request: dict[str, Answer | Callable[[Any], Answer]] = field(
        default_factory=dict[str, Answer | Callable[[Any], Answer]]
    )

    def put(self, request: str, status: int = 200, body: object = None) -> None:
        self.by_request[request] = (status, {} if body is None else body)

    def list(self, path: str, items: Iterable[Json]) -> None:
        self.put(f"GET {path}", body={"items": list(items)})


class FakeApi(ClusterApi):
    """The real client but for its connection: requests are recorded, and answered by `answers`."""

    def __init__(self) -> None:
        self.login = Login()
        self.requests = 0
        self.asked: list[Request] = []
        self.answers = Answers()

    def _exchange(
        self, method: Method, path: str, body: object, content_type: str, seconds: float
    ) -> tuple[int, bytes]:
        self.requests += 1
        self.asked.append(Request(method, path, body, content_type))
        plain = path.partition("?")[0]
        missing = {"message": f"{plain} not found", "details": {"name": plain.rsplit("/", 1)[-1]}}
        answer = self.answers.by_request.get(f"{method} {plain}", (404, missing))
        if callable(answer):
            answer = answer(body)
        if isinstance(answer, Exception):
            raise answer
        status, said = answer
        return status, said if isinstance(said, bytes) else json.dumps(said).encode()

    def changes(self) -> list[Request]:
        """What was asked that was more than a question."""
        return [each for each in self.asked if each.method != "GET"]


def served(api: FakeApi) -> None:
    """Have the API server tell of the workspace as SEEN has it, and the service of itself that it answers."""
    answers = api.answers
    labelled = {"modelyard.dev/workspace": "chat"}
    answers.list(f"{CORE}/pods", (head(), worker()))
    answers.list("/api/v1/nodes", (node(),))
    answers.list(f"{CORE}/services", ({"metadata": {"name": "chat"}, "spec": {"type": "ClusterIP"}},))
    answers.list(f"{CORE}/events", ())
    answers.list(f"{RAY}/rayservices", ({**service(), "metadata": {**service()["metadata"], "labels": labelled}},))
    answers.list(f"{RAY}/rayclusters", (ray(),))
    answers.list(f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs", ())
    replica = {"state": "RUNNING", "node_ip": "10.0.0.1"}
    chat = {"status": "RUNNING", "deployed_app_config": CONFIG, "deployments": {"M": {"replicas": [replica]}}}
    answers.put(f"GET {DASHBOARD}", body={"applications": {"chat": chat}, "ray_version": "2.60.0"})
    answers.put(f"GET {ENDPOINT}/ready", body={"phases": {"engine": 12.5}})
    answers.put(f"POST {ENDPOINT}/smoke", body=measured(tokens=4))


def measured(tokens: int, seconds: float = 2.0) -> Json:
    """An answer to the smoke prompt."""
    return {"usage": {"completion_tokens": tokens}, "seconds": seconds, "first_token_seconds": 0.25}


class Clock:
    """In the place of the module `time`: sleeping takes no time, and moves the clock."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept = 0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept += 1
        assert self.slept < 20_000, "it waits for ever"
        self.now += seconds
