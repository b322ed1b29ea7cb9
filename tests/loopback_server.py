"""What stand-ins that speak HTTP have in common: a server on a free port of loopback, for as long as a with block."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


class LoopbackServer(ABC):
    """Stand-ins keep their state in a class derived from this one; their handlers find it as `state`."""

    @abstractmethod
    def handler(self) -> type[LoopbackHandler]:
        """Answers the requests."""

    def listening(self, handler: type[LoopbackHandler]) -> ThreadingHTTPServer:
        """A server that is bound to its port."""
        return ThreadingHTTPServer(("127.0.0.1", 0), handler)

    def __enter__(self) -> Self:
        handler = type("Handler", (self.handler(),), {"state": self})
        self._server = self.listening(handler)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._server.server_port}"


class LoopbackHandler(BaseHTTPRequestHandler):
    """Answers one request."""

    state: Any
    """The stand-in."""
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""
