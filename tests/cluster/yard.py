"""A Modelyard project whose stack is on a cluster, driven as its users drive it."""

from __future__ import annotations

import base64
import ssl
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import openai
import yaml

from components.deployed_state import from_resources
from tests.cluster.rig.api import Api, Json
from tests.stack.yard import TINY, Yard

IMAGE = "modelyard/serving:test"
"""A name only: containers of a rig run in this machine's environment for serving."""
A100 = "Standard_NC24ads_A100_v4"
MODELS = "/models"
"""Where pods have the volume of the weights."""
SMOLLM2 = f"file:{MODELS}/smollm2"
KWOK_CLASS = {"group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": "gpu"}


def served(name: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - any field of the config
    """A workspace that serves SmolLM2 by the transformers engine, which runs on a CPU too, on nodes with one A100."""
    config = {"maxContext": 1024, "maxSequences": 8, **more.pop("config", {})}
    options = {"weights": SMOLLM2, **more.pop("options", {})}
    inference = {"preset": {"name": TINY, "presetOptions": options}, "config": config, **more.pop("inference", {})}
    resource = more.pop("resource", {"instanceType": A100})
    return {"name": name, "engine": "transformers", "replicas": 1, "resource": resource, "inference": inference, **more}


class ClusterYard(Yard):
    """A project whose stack has a namespace of its own on a cluster."""

    def __init__(self, folder: Path, kubeconfig: Path, api: Api, models: Path) -> None:
        """models: a directory of this machine that every pod has at /models."""
        super().__init__(folder)
        self.api = api
        self.namespace = f"yard-{folder.name}".lower().replace("_", "-")
        self.environment |= {"KUBECONFIG": str(kubeconfig)}
        self._models = models
        self._access = _access(kubeconfig)

    def configure_cluster(
        self,
        *workspaces: Mapping[str, Any],
        nodes: str = "karpenter",
        keys: Mapping[str, object] | None = None,
        **kubernetes: object,
    ) -> None:
        """Write the stack's file: these workspaces on this cluster, and further keys of modelyard:kubernetes. keys:
        further ones of the namespace beside it."""
        cluster: dict[str, Any] = {
            "nodes": nodes,
            "namespace": self.namespace,
            "image": IMAGE,
            "head": {"cpu": "250m", "memory": "1Gi"},
            "weights": {"hostPath": str(self._models)},
        }
        if nodes != "existing":
            cluster["nodeClassRef"] = KWOK_CLASS
        self.configure(*workspaces, target="kubernetes", kubernetes={**cluster, **kubernetes}, **(keys or {}))

    # what a platform engineer looks at

    def path(self, plural: str, name: str = "", api: str = "/api/v1") -> str:
        return f"{api}/namespaces/{self.namespace}/{plural}" + (f"/{name}" if name else "")

    def workspace(self, name: str) -> Json:
        """The mirror of one, as kubectl shows it."""
        return self.api.get(self.path("workspaces", name, "/apis/modelyard.dev/v1"))

    def table(self, path: str) -> Json:
        """A list as the API server prepares it for kubectl."""
        accept = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
        with httpx.Client(verify=self._access.context, timeout=30) as http:
            return http.get(f"{self._access.server}{path}", headers=accept).json()

    def ray_service(self, name: str) -> Json:
        return self.api.get(self.path("rayservices", name, "/apis/ray.io/v1"))

    def ray_clusters(self) -> list[str]:
        return sorted(
            each["metadata"]["name"] for each in self.api.items(self.path("rayclusters", "", "/apis/ray.io/v1"))
        )

    def pods(self, name: str, part: str) -> list[Json]:
        """The pods of one part of a workspace that are not being deleted."""
        labels = {"labelSelector": f"modelyard.dev/workspace={name},modelyard.dev/part={part}"}
        found = self.api.items(self.path("pods"), labels)
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def reconciled(self, name: str) -> dict[str, Any]:
        """The properties of its dynamic resource in the state."""
        return from_resources(self.resources()).on_cluster[name]

    # what an application developer does

    def proxied(self, name: str) -> str:
        """The workspace's Service, through the API server."""
        port = "http" if self._is_template(name) else "serve"
        return f"{self._access.server}{self.path('services')}/http:{name}:{port}/proxy"

    def endpoint(self, name: str) -> str:
        return f"{self.proxied(name)}/v1"

    def client(self, name: str) -> openai.OpenAI:
        """One that goes through the API server, as whom the kubeconfig names; the yard closes it."""
        http = openai.DefaultHttpxClient(verify=self._access.context, timeout=120)
        client = openai.OpenAI(
            base_url=self.endpoint(name), api_key="none", max_retries=0, timeout=120, http_client=http
        )
        return self._clients.enter_context(client)

    def ask(self, name: str, content: str) -> str:
        """The answer to one question, as likely as it comes."""
        messages: Any = [{"role": "user", "content": content}]
        answered = self.client(name).chat.completions.create(
            model=name, messages=messages, max_tokens=16, temperature=0
        )
        return answered.choices[0].message.content or ""

    def get(self, name: str, path: str) -> httpx.Response:
        with httpx.Client(verify=self._access.context, timeout=30) as http:
            return http.get(f"{self.proxied(name)}{path}")

    def close(self) -> None:
        """Nothing of the stack is left on the cluster, whatever became of it. Without `pulumi destroy`, which takes its
        time and has tests of its own."""
        self._clients.close()
        self.api.delete(f"/api/v1/namespaces/{self.namespace}")
        for plural in ("nodepools", "nodeclaims"):
            for item in self.api.items(f"/apis/karpenter.sh/v1/{plural}"):
                if item["metadata"].get("labels", {}).get("modelyard.dev/stack") and self._is_ours(item):
                    self.api.delete(f"/apis/karpenter.sh/v1/{plural}/{item['metadata']['name']}")

    def _is_ours(self, item: Json) -> bool:
        return self.namespace in str(item["metadata"])

    def _is_template(self, name: str) -> bool:
        return any(pod for pod in self.pods(name, "template"))


class _Access:
    """How httpx gets to the API server."""

    def __init__(self, server: str, context: ssl.SSLContext) -> None:
        self.server = server
        self.context = context


def _access(kubeconfig: Path) -> _Access:
    """Of a kubeconfig with certificates in it."""
    content = yaml.safe_load(kubeconfig.read_text())
    cluster, user = content["clusters"][0]["cluster"], content["users"][0]["user"]
    context = ssl.create_default_context(cadata=_decoded(cluster["certificate-authority-data"]))
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as pair:
        pair.write(_decoded(user["client-certificate-data"]) + _decoded(user["client-key-data"]))
        pair.flush()
        context.load_cert_chain(pair.name)
    return _Access(cluster["server"], context)


def _decoded(text: str) -> str:
    return base64.b64decode(text).decode()
