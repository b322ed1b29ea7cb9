"""The Kubernetes API as plain JSON: paths in, dictionaries out."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import urllib3.exceptions
from kubernetes import config
from kubernetes.client import ApiClient
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic import DynamicClient

Json = dict[str, Any]
Query = Mapping[str, object]

FIELD_MANAGER = "modelyard-rig"
TIMEOUT_SECONDS = 30.0


class ApiError(Exception):
    """The API server refused a request; `str()` is its own sentence."""

    def __init__(self, status: int, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


class Unreachable(Exception):
    """The API server does not answer; it may be back in a moment."""


class Api:
    """One person's access to one cluster. May be shared between threads."""

    def __init__(self, client: ApiClient) -> None:
        self.client = client
        # Its discovery is left alone: it caches the kinds of whatever cluster had this address last.
        self._requests = DynamicClient(client, discoverer=_no_discovery)
        self._kinds: dict[str, dict[str, Json]] = {}
        self._kinds_lock = threading.Lock()

    @classmethod
    def of(cls, kubeconfig: Path) -> Api:
        """Access as a kubeconfig file gives it."""
        return cls(config.new_client_from_config(str(kubeconfig)))

    def get(self, path: str, query: Query | None = None) -> Json:
        """An object, or a list of them."""
        return _json(self._ask("GET", path, query=query))

    def text(self, path: str, query: Query | None = None) -> str:
        """An answer that is no JSON: logs, metrics."""
        return self._ask("GET", path, query=query).decode(errors="replace")

    def items(self, path: str, query: Query | None = None) -> list[Json]:
        """The objects of a list."""
        return self.get(path, query)["items"]

    def find(self, path: str) -> Json | None:
        """An object, or None if there is none."""
        try:
            return self.get(path)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def post(self, path: str, body: Json) -> Json:
        """Create an object."""
        return _json(self._ask("POST", path, body=body))

    def merge(self, path: str, body: Json) -> Json:
        """Change the fields that `body` names (a JSON merge patch)."""
        return _json(self._ask("PATCH", path, body=body, content_type="application/merge-patch+json"))

    def strategic(self, path: str, body: Json) -> Json:
        """Change the fields that `body` names, lists by their keys (a strategic merge patch)."""
        return _json(self._ask("PATCH", path, body=body, content_type="application/strategic-merge-patch+json"))

    def delete(self, path: str, body: Json | None = None) -> bool:
        """Ask for an object's deletion; False if it is gone already, or if it is no longer the one that is meant."""
        try:
            self._ask("DELETE", path, body=body or {})
        except ApiError as error:
            if error.status in (404, 409):
                return False
            raise
        return True

    def apply(self, *objects: Json) -> list[Json]:
        """Server-side apply, in the order given; a `status` that an object brings is applied too."""
        return [self._apply(each) for each in objects]

    def check(self, item: Json) -> None:
        """Have the API server say whether it would take an object, every field and every admission; nothing is made.

        Raises ApiError with its reason.
        """
        query = {"fieldManager": FIELD_MANAGER, "force": "true", "dryRun": "All", "fieldValidation": "Strict"}
        self._ask("PATCH", self.path_of(item), query=query, body=item, content_type="application/apply-patch+yaml")

    def path_of(self, item: Json) -> str:
        """Where an object lies in the API, by its apiVersion, kind, namespace and name."""
        version, meta = item["apiVersion"], item["metadata"]
        kind = self._kind(version, item["kind"])
        prefix = f"/apis/{version}" if "/" in version else f"/api/{version}"
        scope = f"/namespaces/{meta.get('namespace', 'default')}" if kind["namespaced"] else ""
        return f"{prefix}{scope}/{kind['name']}/{meta['name']}"

    def _apply(self, item: Json) -> Json:
        path = self.path_of(item)
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        answer = self._ask("PATCH", path, query=query, body=item, content_type="application/apply-patch+yaml")
        if "status" in item and "status" in self._kind(item["apiVersion"], item["kind"])["subresources"]:
            name = {"name": item["metadata"]["name"]}
            body = {key: item[key] for key in ("apiVersion", "kind", "status")} | {"metadata": name}
            answer = self._ask(
                "PATCH", f"{path}/status", query=query, body=body, content_type="application/apply-patch+yaml"
            )
        return _json(answer)

    def _kind(self, version: str, kind: str) -> Json:
        with self._kinds_lock:
            if kind not in self._kinds.get(version, {}):
                found = self.get(f"/apis/{version}" if "/" in version else f"/api/{version}")["resources"]
                self._kinds[version] = {
                    each["kind"]: {**each, "subresources": [_last(sub["name"]) for sub in found if _of(sub, each)]}
                    for each in found
                    if "/" not in each["name"]
                }
        try:
            return self._kinds[version][kind]
        except KeyError:
            raise ApiError(404, f"the cluster knows no {kind} in {version}", "NotFound") from None

    def _ask(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: Json | None = None,
        content_type: str = "application/json",
    ) -> bytes:
        ask: Callable[..., Any] = self._requests.request
        try:
            response = ask(
                method,
                path,
                body=body,
                query_params=list((query or {}).items()),
                header_params={"Accept": "application/json, */*"},
                content_type=content_type,
                serialize=False,
                _request_timeout=TIMEOUT_SECONDS,
            )
            return response.data
        except ApiException as error:
            raise _refusal(error) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Unreachable(str(error)) from error


def _json(answer: bytes) -> Json:
    try:
        return json.loads(answer)
    except ValueError as error:
        raise Unreachable(f"the answer is no JSON: {answer[:100]!r}") from error


def _no_discovery(_client: object, _cache_file: object) -> None:
    return None


def _of(sub: Json, kind: Json) -> bool:
    return sub["name"].startswith(f"{kind['name']}/")


def _last(name: str) -> str:
    return name.rpartition("/")[2]


def _refusal(error: ApiException) -> ApiError:
    said = error.body.decode(errors="replace") if isinstance(error.body, bytes) else str(error.body or "")
    try:
        status = json.loads(said)
    except ValueError:
        status = {}
    if not isinstance(status, dict):
        status = {}
    return ApiError(error.status or 0, status.get("message") or said or str(error.reason), status.get("reason", ""))
