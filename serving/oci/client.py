"""Requests to an OCI registry, over oras: its reading of docker's credentials and its tokens.

oras' own requests have no time limit and repeat a refused login for two minutes, so they are made here.
"""

from __future__ import annotations

import os
from ipaddress import ip_address
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode, urljoin, urlsplit, urlunsplit

import oras.container
import oras.provider
import requests
from oras.auth import utils as auth_utils
from tenacity import retry, retry_if_exception, stop_after_attempt

from presets.image_reference import DOCKER_HUB, ImageReference

_ACCEPT = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_TIMEOUT = (10, 60)
"""Seconds to connect, and between two pieces of an answer."""
_HUB_HOST, _HUB_CREDENTIALS = "registry-1.docker.io", "https://index.docker.io/v1/"


def may_pass(error: BaseException) -> bool:
    """Whether another attempt may succeed: a broken line, or an error of the registry's own."""
    if isinstance(error, requests.HTTPError):
        return error.response is not None and error.response.status_code >= 500
    return isinstance(error, (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError))


class RegistryClient(oras.provider.Registry):
    """One repository of a registry.

    Credentials are docker's: $REGISTRY_AUTH_FILE, $DOCKER_CONFIG/config.json, ~/.docker/config.json and their helpers.
    """

    def __init__(self, reference: ImageReference) -> None:
        host = _HUB_HOST if reference.registry == DOCKER_HUB else reference.registry
        # As docker: without TLS only where nobody can listen.
        super().__init__(hostname=host, insecure=is_loopback(host))
        self._container = oras.container.Container(f"{reference.repository}:latest", registry=host)
        self._basic = _basic_auth(self.auth, reference.registry)

    def close(self) -> None:
        self.session.close()

    def manifest(self, reference: str) -> requests.Response:
        url = f"{self.prefix}://{self._container.manifest_url(reference)}"
        return self._get(url, {"Accept": ", ".join(_ACCEPT)})

    def blob(self, digest: str, start: int = 0) -> requests.Response:
        """From byte `start` on (status 206); a registry that knows no ranges sends all of it (200)."""
        # As it is: what a proxy compressed would have another length and another digest.
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
        return self._get(f"{self.prefix}://{self._container.get_blob_url(digest)}", headers)

    def has_blob(self, digest: str) -> bool:
        response = self._asked(f"{self.prefix}://{self._container.get_blob_url(digest)}", {}, "HEAD")
        response.close()
        return response.ok

    def begin_upload(self) -> str:
        """The URL that the content of a blob is sent to. Raises requests' errors: a login that may not push is seen
        here."""
        url = f"{self.prefix}://{self._container.upload_blob_url()}"
        response = self._asked(url, {"Content-Length": "0"}, "POST")
        response.close()
        response.raise_for_status()
        return self._upload_at(urljoin(url, response.headers["Location"]))

    def _upload_at(self, location: str) -> str:
        """A registry behind a proxy may name its own place without TLS; one that names another host is not believed,
        since the login goes there."""
        parts = urlsplit(location)
        if parts.netloc != self.hostname:
            raise requests.exceptions.InvalidURL(f"it wants uploads to be sent to {parts.netloc}")
        return urlunsplit(parts._replace(scheme=self.prefix))

    def cancel_upload(self, url: str) -> None:
        """Whether or not the registry can: it forgets what was begun after some time."""
        self._asked(url, {}, "DELETE").close()

    @retry(retry=retry_if_exception(may_pass), stop=stop_after_attempt(3), reraise=True)
    def upload(self, digest: str, content: bytes) -> None:
        """Raises requests' errors; a broken line and 5xx are repeated."""
        url = self.begin_upload()
        url += f"{'&' if '?' in url else '?'}{urlencode({'digest': digest})}"
        response = self._asked(url, {"Content-Type": "application/octet-stream"}, "PUT", content)
        response.close()
        response.raise_for_status()

    @retry(retry=retry_if_exception(may_pass), stop=stop_after_attempt(3), reraise=True)
    def put_manifest(self, reference: str, media_type: str, content: bytes) -> None:
        """Raises requests' errors; a broken line and 5xx are repeated."""
        url = f"{self.prefix}://{self._container.manifest_url(reference)}"
        response = self._asked(url, {"Content-Type": media_type}, "PUT", content)
        response.close()
        response.raise_for_status()

    @retry(retry=retry_if_exception(may_pass), stop=stop_after_attempt(3), reraise=True)
    def _get(self, url: str, headers: dict[str, str]) -> requests.Response:
        """A streaming answer, for a with block. Raises requests' errors; a broken line and 5xx are repeated."""
        response = self._asked(url, headers)
        if not response.ok:
            response.close()
        response.raise_for_status()
        return response

    def _asked(
        self, url: str, headers: dict[str, str], method: str = "GET", body: bytes | None = None
    ) -> requests.Response:
        auth = cast("Any", self.auth)
        known = auth.get_auth_header()
        response = self._sent(method, url, headers | known, body)
        if response.status_code != 401:
            return response
        challenge = response.headers.get("Www-Authenticate", "")
        if challenge.lower().startswith("basic"):
            # oras would ask a host called like the realm for a token.
            login = {"Authorization": f"Basic {self._basic}"} if self._basic else {}
        elif self._may_ask(auth_utils.parse_auth_header(challenge).realm or ""):
            login, _ = auth.authenticate_request(response, {}, refresh=True)
        else:
            login = {}
        if "Authorization" not in login:
            return response
        response.close()
        return self._sent(method, url, headers | login, body)

    def _sent(self, method: str, url: str, headers: dict[str, str], body: bytes | None) -> requests.Response:
        return self.session.request(method, url, headers=headers, data=body, stream=True, timeout=_TIMEOUT)

    def _may_ask(self, realm: str) -> bool:
        """Whether the password may be sent there: a registry names any host for its tokens."""
        return realm.startswith("https://") or (self.prefix == "http" and realm.startswith("http://"))


def is_loopback(registry: str) -> bool:
    """Whether a registry is on this machine.

    >>> is_loopback("localhost:5000"), is_loopback("[::1]:5000"), is_loopback("127.0.0.1.example.com")
    (True, True, False)
    """
    host = registry.rpartition(":")[0] if registry.rpartition(":")[2].isdecimal() else registry
    host = host.strip("[]")
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _basic_auth(auth: Any, registry: str) -> str:  # noqa: ANN401 - oras' backends have no common type
    """The login for a registry in docker's spelling, base64 of user:password, "" if there is none; `auth` keeps it."""
    configs = [os.environ.get("REGISTRY_AUTH_FILE", "")]
    if folder := os.environ.get("DOCKER_CONFIG"):
        configs.append(str(Path(folder) / "config.json"))
    found: Any = auth_utils.load_configs([config for config in configs if config and Path(config).exists()])
    auth._auth_config = found
    keys = (_HUB_CREDENTIALS, DOCKER_HUB) if registry == DOCKER_HUB else (registry, f"https://{registry}")
    for key in keys:
        if auth._load_auth(key):
            return str(auth._basic_auth)
    return ""
