"""The API server as reconciliation uses it: plain JSON by path, with the login of a kubeconfig.

The official client reads kubeconfigs and logs in (exec plugins, refreshed tokens, client certificates, a pod's own
service account). Its typed models are not used: an object is read for a few fields, and KubeRay's kinds have none. They
are 700 modules all the same, so the client is imported where there is a cluster: a preview asks none.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast
from urllib.parse import urlencode

import urllib3

if TYPE_CHECKING:
    from kubernetes import client

Json = dict[str, Any]
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]

FIELD_MANAGER = "modelyard"
"""Of every field that reconciliation writes by server-side apply; Pulumi's own provider has managers of its own."""

_CONNECT_SECONDS = 5
_NO_ANSWER = 504
_READ_SECONDS = 30
_IN_POD = "KUBERNETES_SERVICE_HOST"
_APPLY = "application/apply-patch+yaml"
_MERGE = "application/merge-patch+json"
_JSON_PATCH = "application/json-patch+json"


class ClusterError(Exception):
    """Base of what a cluster says no with. `reason` is a condition's reason, the text says what to do."""

    reason = "ClusterError"


class ClusterUnreachable(ClusterError):
    """The API server does not answer; it may do so later."""

    reason = "ClusterUnreachable"


class NoLogin(ClusterError):
    """There is no kubeconfig, or it has no such context, or the login has expired."""

    reason = "LoginFailed"


class Forbidden(ClusterError):
    """The login may not do this; the text names the verb and the resource."""

    reason = "Forbidden"


class Refused(ClusterError):
    """The API server refused a request; `status` is the HTTP status, `details` the server's own object."""

    reason = "RequestRefused"

    def __init__(self, message: str, status: int, details: Json) -> None:
        self.status = status
        self.details = details
        super().__init__(message)


class Missing(Refused):
    """There is no such object, or no such kind."""

    reason = "NotFound"

    @property
    def is_kind(self) -> bool:
        """Whether the cluster does not know the kind at all: its CustomResourceDefinition is not installed."""
        return "name" not in (self.details.get("details") or {})


class Conflict(Refused):
    """Somebody else changed or owns what was to be written."""

    reason = "Conflict"


@dataclass(frozen=True, kw_only=True)
class Login:
    """Which cluster, and as whom: names only, so that it can stand in a state."""

    kubeconfig: str = ""
    """A file. Empty: KUBECONFIG, then ~/.kube/config, then the service account of the pod that this runs in."""
    context: str = ""
    """Empty: the kubeconfig's current one."""

    def describe(self) -> str:
        return f"context {self.context}" if self.context else (self.kubeconfig or "the current context")


class ClusterApi:
    """One login to one API server; safe to share between threads."""

    def __init__(self, login: Login) -> None:
        """Raises NoLogin if there is nothing to log in with; asks the cluster nothing."""
        self.login = login
        self._client = _connect(login)
        self.requests = 0
        """How many were made."""
        self._counting = threading.Lock()

    def get(self, path: str, **query: str) -> Json:
        """An object, or a list. Raises Missing, and what every request may raise."""
        return _parsed(self._request("GET", path, query=query))

    def find(self, path: str, **query: str) -> Json | None:
        """An object, or None if there is none or the cluster does not know its kind."""
        try:
            return self.get(path, **query)
        except Missing:
            return None

    def items(self, path: str, **query: str) -> list[Json]:
        """The objects of a list; none if the cluster does not know their kind."""
        found = self.find(path, **query)
        return [] if found is None else cast("list[Json]", found.get("items") or [])

    def text(self, path: str, **query: str) -> str:
        """An answer that is no JSON, such as a log."""
        return self._request("GET", path, query=query).decode(errors="replace")

    def apply(self, path: str, manifest: Mapping[str, Any], *, force: bool = True) -> Json:
        """Server-side apply, as FIELD_MANAGER."""
        query = {"fieldManager": FIELD_MANAGER, "force": str(force).lower()}
        return _parsed(self._request("PATCH", path, query=query, body=manifest, content_type=_APPLY))

    def merge(self, path: str, patch: Mapping[str, Any]) -> Json:
        """A merge patch: maps are merged, null removes, lists are replaced."""
        query = {"fieldManager": FIELD_MANAGER}
        return _parsed(self._request("PATCH", path, query=query, body=patch, content_type=_MERGE))

    def edit(self, path: str, operations: list[Json]) -> Json:
        """A JSON patch (RFC 6902)."""
        query = {"fieldManager": FIELD_MANAGER}
        return _parsed(self._request("PATCH", path, query=query, body=operations, content_type=_JSON_PATCH))

    def create(self, path: str, manifest: Mapping[str, Any]) -> Json:
        """Make an object. Raises Conflict if it is there already."""
        return _parsed(self._request("POST", path, query={"fieldManager": FIELD_MANAGER}, body=manifest))

    def delete(self, path: str) -> None:
        """Delete an object in the background; one that is gone already is fine."""
        try:
            self._request("DELETE", path, body={"propagationPolicy": "Background"})
        except Missing:
            return

    def through(
        self, method: Method, path: str, body: object = None, seconds: float = _READ_SECONDS
    ) -> tuple[int, bytes]:
        """Status and body of a service's or pod's own answer, by the API server's proxy.

        What the proxy itself says (no endpoints, no permission) is an answer too: the caller reads the status. So is
        that nothing comes, as from a pod whose node is gone: status 504. Raises ClusterUnreachable and NoLogin.
        """
        try:
            return self._exchange(method, path, body, "application/json", seconds)
        except ClusterUnreachable as problem:
            if not isinstance(problem.__cause__, urllib3.exceptions.ReadTimeoutError):
                raise
            return _NO_ANSWER, json.dumps({"kind": "Status", "message": f"no answer within {seconds:g} s"}).encode()

    def _request(
        self,
        method: Method,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
        content_type: str = "application/json",
    ) -> bytes:
        where = f"{path}?{urlencode(query)}" if query else path
        status, answer = self._exchange(method, where, body, content_type, _READ_SECONDS)
        if status >= 400:
            raise _refusal(status, answer, method, path, self.login)
        return answer

    def _exchange(
        self, method: Method, path: str, body: object, content_type: str, seconds: float
    ) -> tuple[int, bytes]:
        from kubernetes.client.exceptions import ApiException

        with self._counting:
            self.requests += 1
        headers = {"Accept": "application/json, */*", "Content-Type": content_type}
        try:
            self._client.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
            response = self._client.rest_client.request(
                method,
                f"{self._client.configuration.host}{path}",
                headers=headers,
                body=body,
                _request_timeout=(_CONNECT_SECONDS, seconds),
            )
            status, answer = int(response.status), bytes(response.read() or b"")
        except (urllib3.exceptions.HTTPError, ApiException, OSError) as error:
            host = self._client.configuration.host
            raise ClusterUnreachable(
                f"the API server {host} does not answer ({_why(error)}); check the network and the kubeconfig "
                f"({self.login.describe()})"
            ) from error
        if status == 401:
            raise NoLogin(
                f"the API server does not accept the login of {self.login.describe()} (401 Unauthorized): the token or "
                "certificate has expired or is another cluster's; log in again and run pulumi up"
            )
        return status, answer


def _connect(login: Login) -> client.ApiClient:
    from kubernetes import client, config
    from kubernetes.config.config_exception import ConfigException

    configuration = client.Configuration()
    configuration.retries = False  # reconciliation repeats by itself, and says so
    in_pod = not login.kubeconfig and not login.context and _IN_POD in os.environ and not _has_kubeconfig()
    try:
        if in_pod:
            config.load_incluster_config(client_configuration=configuration)
        else:
            config.load_kube_config(
                config_file=login.kubeconfig or None,
                context=login.context or None,
                client_configuration=configuration,
                persist_config=False,
            )
    except (ConfigException, OSError, ValueError, KeyError, TypeError) as error:
        raise NoLogin(
            f"no login to a cluster: {' '.join(str(error).split())}; set KUBECONFIG or modelyard:kubernetes.kubeconfig "
            "and context"
        ) from error
    return client.ApiClient(configuration)


def _has_kubeconfig() -> bool:
    named = os.environ.get("KUBECONFIG", "")
    return bool(named) or (Path.home() / ".kube" / "config").exists()


def _parsed(answer: bytes) -> Json:
    return cast("Json", json.loads(answer)) if answer else {}


def _refusal(status: int, answer: bytes, method: Method, path: str, login: Login) -> ClusterError:
    try:
        details = _parsed(answer)
    except ValueError:
        details = {}
    message = str(details.get("message") or answer[:300].decode(errors="replace") or f"status {status}")
    if status == 403:
        return forbidden(answer, login)
    if status in (429, 500, 502, 503, 504):
        return ClusterUnreachable(f"the API server answered {status} to {method} {path}: {message}")
    failure = {404: Missing, 409: Conflict}.get(status, Refused)
    return failure(message, status, details)


def forbidden(answer: bytes, login: Login) -> Forbidden:
    """The API server's own sentence, which names the verb and the resource."""
    try:
        message = str(_parsed(answer).get("message") or "")
    except ValueError:
        message = answer[:300].decode(errors="replace")
    return Forbidden(f"{message}; grant it to the user of {login.describe()}: docs/kubernetes.md, permissions")


def _why(error: BaseException) -> str:
    cause = getattr(error, "reason", None)
    inner = cause if isinstance(cause, BaseException) else error
    return " ".join(str(inner).split()) or type(inner).__name__
