"""Reads what a pod refers to: config maps, secrets, tokens, and its own fields."""

from __future__ import annotations

import base64
import math
import re
from decimal import Decimal

from kubernetes.utils.quantity import parse_quantity

from tests.cluster.rig.api import Api, ApiError, Json

TOKEN_SECONDS = 3607


class NotThere(Exception):
    """Something that a pod refers to does not exist, or not yet; `str()` says what, as a kubelet says it."""


class References:
    """Of one pod."""

    def __init__(self, api: Api, pod: Json) -> None:
        self._api, self.pod = api, pod
        self._namespace: str = pod["metadata"]["namespace"]

    def config_map(self, name: str, *, optional: bool = False) -> dict[str, bytes]:
        """Keys and contents. Raises NotThere."""
        found = self._read("configmaps", "configmap", name, optional)
        texts = {key: text.encode() for key, text in (found.get("data") or {}).items()}
        return texts | {key: base64.b64decode(text) for key, text in (found.get("binaryData") or {}).items()}

    def secret(self, name: str, *, optional: bool = False) -> dict[str, bytes]:
        """Keys and contents. Raises NotThere."""
        found = self._read("secrets", "secret", name, optional)
        return {key: base64.b64decode(text) for key, text in (found.get("data") or {}).items()}

    def claim(self, name: str) -> Json:
        """A persistent volume claim. Raises NotThere."""
        return self._read("persistentvolumeclaims", "persistentvolumeclaim", name, optional=False)

    def token(self, audience: str | None, seconds: int = TOKEN_SECONDS) -> bytes:
        """A token of the pod's service account that holds as long as the pod is there. Raises NotThere."""
        meta = self.pod["metadata"]
        account = self.pod["spec"].get("serviceAccountName", "default")
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {
                "audiences": [audience] if audience else [],
                "expirationSeconds": seconds,
                "boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": meta["name"], "uid": meta["uid"]},
            },
        }
        try:
            answer = self._api.post(f"/api/v1/namespaces/{self._namespace}/serviceaccounts/{account}/token", body)
        except ApiError as error:
            raise NotThere(str(error)) from error
        return answer["status"]["token"].encode()

    def field(self, path: str, status: Json) -> str:
        """A field of the pod, by the downward API's name for it."""
        if match := re.fullmatch(r"metadata\.(labels|annotations)\['(.+)'\]", path):
            return self.pod["metadata"].get(match[1], {}).get(match[2], "")
        if path in ("metadata.labels", "metadata.annotations"):
            values = self.pod["metadata"].get(path.rpartition(".")[2], {})
            return "\n".join(f'{key}="{value}"' for key, value in sorted(values.items()))
        value: object = {**self.pod, "status": status}
        for part in path.split("."):
            value = value.get(part, "") if isinstance(value, dict) else ""
        return str(value)

    def resource(self, selector: Json, container: str) -> str:
        """A request or a limit, in the units of its divisor, rounded up; a limit that is not set is the node's."""
        name = selector.get("containerName", container)
        containers = [*self.pod["spec"]["containers"], *self.pod["spec"].get("initContainers", [])]
        resources = next((each.get("resources", {}) for each in containers if each["name"] == name), {})
        kind, _, resource = selector["resource"].partition(".")
        found = resources.get(kind, {}).get(resource) or resources.get("limits", {}).get(resource)
        if found is None:
            found = self._allocatable().get(resource, "0") if kind == "limits" else "0"
        divisor = parse_quantity(selector.get("divisor") or "1") or Decimal(1)
        return str(math.ceil(parse_quantity(found) / divisor))

    def services(self) -> list[Json]:
        """The services of the pod's namespace."""
        return self._api.items(f"/api/v1/namespaces/{self._namespace}/services")

    def _allocatable(self) -> dict[str, str]:
        node = self._api.find(f"/api/v1/nodes/{self.pod['spec'].get('nodeName', '')}") or {}
        return node.get("status", {}).get("allocatable", {})

    def _read(self, plural: str, what: str, name: str, optional: bool) -> Json:
        found = self._api.find(f"/api/v1/namespaces/{self._namespace}/{plural}/{name}")
        if found is None:
            if optional:
                return {}
            raise NotThere(f'{what} "{name}" not found')
        return found
