"""As much of the OCI distribution specification as pushing and pulling an image needs, on loopback, faults included."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qs, urlsplit

from tests.loopback_server import LoopbackHandler, LoopbackServer

TOKEN = "let-me-in"


@dataclass
class RegistryServer(LoopbackServer):
    """Keeps blobs and manifests in memory. `login` is user:password, asked for as `scheme` says."""

    login: str = ""
    scheme: Literal["basic", "bearer"] = "bearer"
    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    """Media type and bytes, by repository:tag and repository@digest."""
    status: int = 0
    """Where it is set, the answer to everything."""
    requests: list[str] = field(default_factory=list)
    breaks: list[int] = field(default_factory=list)
    """Bytes after which the next answers with a blob break off, one number an answer."""
    has_ranges: bool = True

    def handler(self) -> type[LoopbackHandler]:
        return _Handler

    def add_blob(self, content: bytes) -> str:
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        self.blobs[digest] = content
        return digest

    def add_manifest(self, repository: str, tag: str, manifest: dict[str, object]) -> str:
        """Put a manifest under a tag; its digest."""
        raw = json.dumps(manifest).encode()
        digest = f"sha256:{hashlib.sha256(raw).hexdigest()}"
        entry = (str(manifest.get("mediaType", "application/vnd.oci.image.manifest.v1+json")), raw)
        self.manifests[f"{repository}:{tag}"] = self.manifests[f"{repository}@{digest}"] = entry
        return digest

    def add_image(self, repository: str, tag: str, *layers: bytes) -> str:
        """An image as docker push would send it; the digest of its manifest."""
        config = b'{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}'
        return self.add_manifest(
            repository,
            tag,
            {
                "schemaVersion": 2,
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": {
                    "mediaType": "application/vnd.oci.image.config.v1+json",
                    "digest": self.add_blob(config),
                    "size": len(config),
                },
                "layers": [
                    {
                        "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
                        "digest": self.add_blob(layer),
                        "size": len(layer),
                    }
                    for layer in layers
                ],
            },
        )


class _Handler(LoopbackHandler):
    state: RegistryServer

    def do_GET(self) -> None:
        self._handle()

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

    def _handle(self) -> None:
        url = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.state.requests.append(f"{self.command} {url.path}")
        if self.state.status:
            return self._answer(self.state.status)
        if url.path == "/token":
            return self._token()
        if not self._may():
            return self._challenge()
        match = re.fullmatch(r"/v2/(.+)/(blobs/uploads|blobs|manifests)/([^/]*)", url.path)
        if match is None:
            return self._answer(200 if url.path == "/v2/" else 404)
        repository, kind, reference = match.groups()
        if kind == "blobs/uploads":
            return self._upload(repository, parse_qs(url.query), body)
        if kind == "blobs":
            return self._blob(reference)
        return self._manifest(repository, reference, body)

    def _upload(self, repository: str, query: dict[str, list[str]], body: bytes) -> None:
        if self.command == "POST":
            return self._answer(202, {"Location": f"/v2/{repository}/blobs/uploads/1"})
        [digest] = query["digest"]
        if self.state.add_blob(body) != digest:
            return self._answer(400)
        return self._answer(201, {"Location": f"/v2/{repository}/blobs/{digest}", "Docker-Content-Digest": digest})

    def _blob(self, digest: str) -> None:
        blob = self.state.blobs.get(digest)
        if blob is None:
            return self._answer(404)
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if asked is None or not self.state.has_ranges:
            return self._answer(200, {}, blob)
        start = int(asked[1])
        where = {"Content-Range": f"bytes {start}-{len(blob) - 1}/{len(blob)}"}
        return self._answer(206, where, blob[start:])

    def _manifest(self, repository: str, reference: str, body: bytes) -> None:
        key = f"{repository}@{reference}" if ":" in reference else f"{repository}:{reference}"
        if self.command == "PUT":
            digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
            entry = (self.headers["Content-Type"], body)
            self.state.manifests[key] = self.state.manifests[f"{repository}@{digest}"] = entry
            return self._answer(201, {"Docker-Content-Digest": digest})
        if key not in self.state.manifests:
            return self._answer(404)
        kind, raw = self.state.manifests[key]
        return self._answer(200, {"Content-Type": kind}, raw)

    def _may(self) -> bool:
        given = self.headers.get("Authorization", "")
        if not self.state.login:
            return True
        return given == (f"Bearer {TOKEN}" if self.state.scheme == "bearer" else self._basic())

    def _basic(self) -> str:
        return f"Basic {base64.b64encode(self.state.login.encode()).decode()}"

    def _challenge(self) -> None:
        bearer = f'Bearer realm="http://{self.state.host}/token",service="registry",scope="repository:a:pull"'
        basic = 'Basic realm="Registry"'
        self._answer(401, {"Www-Authenticate": bearer if self.state.scheme == "bearer" else basic})

    def _token(self) -> None:
        if self.headers.get("Authorization") != self._basic():
            return self._answer(401)
        return self._answer(200, {"Content-Type": "application/json"}, json.dumps({"token": TOKEN}).encode())

    def _answer(self, status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if status in (200, 206) and "/blobs/" in self.path and self.state.breaks:
            self.wfile.write(body[: self.state.breaks.pop(0)])
            self.close_connection = True
        else:
            self.wfile.write(body)
