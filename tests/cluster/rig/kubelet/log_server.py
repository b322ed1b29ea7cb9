"""Answers the API server's questions for logs: GET /containerLogs/NAMESPACE/POD/CONTAINER, over HTTPS."""

from __future__ import annotations

import ssl
import threading
import time
import urllib.parse
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.cluster.rig.kubelet.container import Container
from tests.cluster.rig.network import GATEWAY

PORT = 10250
Find = Callable[[str, str, str], Container | None]


class _Refused(Exception):
    """`str()` is a kubelet's sentence."""


class _Handler(BaseHTTPRequestHandler):
    find: Find

    def do_GET(self) -> None:
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        parts = url.path.strip("/").split("/")
        if len(parts) != 4 or parts[0] != "containerLogs":
            self._answer(404, "404 page not found\n")
            return
        namespace, pod, name = parts[1:]
        container = self.find(namespace, pod, name)
        if container is None:
            self._answer(404, f'container "{name}" of pod "{pod}" is not run by this kubelet\n')
            return
        try:
            log = _log(container, pod, previous=query.get("previous") == "true")
        except _Refused as refused:
            self._answer(400, f"{refused}\n")
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.end_headers()
        with suppress(BrokenPipeError, ConnectionResetError):
            self._copy(log, container, query)

    def _copy(self, path: Path, container: Container, query: dict[str, str]) -> None:
        with path.open("rb") as log:
            content = log.read()
            if "tailLines" in query:
                lines = content.splitlines(keepends=True)
                content = b"".join(lines[max(0, len(lines) - int(query["tailLines"])) :])
            self.wfile.write(content[: int(query["limitBytes"])] if "limitBytes" in query else content)
            if query.get("follow") != "true":
                return
            while True:
                goes_on = container.running and container.log == path
                if more := log.read():
                    self.wfile.write(more)
                    self.wfile.flush()
                elif not goes_on:
                    return
                else:
                    time.sleep(0.1)

    def _answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


def _log(container: Container, pod: str, *, previous: bool) -> Path:
    if previous:
        if container.previous_log is None:
            raise _Refused(f'previous terminated container "{container.name}" in pod "{pod}" not found')
        return container.previous_log
    if container.log is None:
        reason = container.state.get("waiting", {}).get("reason", "ContainerCreating")
        raise _Refused(f'container "{container.name}" in pod "{pod}" is waiting to start: {reason}')
    return container.log


def serve(find: Find, certificate: Path, key: Path) -> None:
    """Listen where the API server looks for a node's kubelet; every node has the rig's own address."""
    handler = type("Handler", (_Handler,), {"find": staticmethod(find)})
    server = ThreadingHTTPServer((GATEWAY, PORT), handler)
    server.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
