"""A web server with files, on loopback: validators, ranges and faults as they are met outside."""

from __future__ import annotations

import hashlib
import re
from contextlib import suppress
from dataclasses import dataclass, field

from tests.loopback_server import LoopbackHandler, LoopbackServer


@dataclass
class FileServer(LoopbackServer):
    """Serves `files`, by their paths; `requests` has a path and the Range asked for, in order."""

    files: dict[str, bytes] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    """Path -> Location."""
    faults: list[int] = field(default_factory=list)
    """Statuses of the next answers."""
    breaks: list[int] = field(default_factory=list)
    """Bytes after which the next answers break off."""
    has_etags: bool = True
    has_ranges: bool = True
    tells_length: bool = True
    logins: dict[str, str] = field(default_factory=dict)
    """Path -> the Authorization that is asked for."""
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    sent: int = 0
    """Bytes of bodies."""

    def handler(self) -> type[LoopbackHandler]:
        return _Handler

    def url(self, path: str) -> str:
        return f"http://{self.host}{path}"

    def add(self, path: str, content: bytes) -> str:
        self.files[path] = content
        return self.url(path)


class _Handler(LoopbackHandler):
    state: FileServer

    def handle(self) -> None:
        # A client that has seen enough hangs up.
        with suppress(ConnectionError):
            super().handle()

    def do_GET(self) -> None:
        # A proxy is asked for a whole URL.
        path = re.sub(r"^http://[^/]+", "", self.path).partition("?")[0]
        self.state.requests.append((self.path, self.headers.get("Range")))
        if self.state.faults:
            return self._answer(self.state.faults.pop(0))
        if path in self.state.redirects:
            return self._answer(302, {"Location": self.state.redirects[path]})
        if path in self.state.logins and self.headers.get("Authorization") != self.state.logins[path]:
            return self._answer(401)
        if path not in self.state.files:
            return self._answer(404)
        content = self.state.files[path]
        etag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
        headers = {"ETag": etag} if self.state.has_etags else {}
        if self.state.has_etags and self.headers.get("If-None-Match") == etag:
            return self._answer(304, headers)
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if asked is None or not self.state.has_ranges or self.headers.get("If-Range") not in (None, etag):
            return self._answer(200, headers, content)
        start = int(asked[1])
        if start >= len(content):
            return self._answer(416)
        where = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
        return self._answer(206, headers | where, content[start:])

    def _answer(self, status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if self.state.tells_length:
            self.send_header("Content-Length", str(len(body)))
        else:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        if status in (200, 206) and self.state.breaks:
            body = body[: self.state.breaks.pop(0)]
            self.close_connection = True
        self.wfile.write(body)
        self.state.sent += len(body)
