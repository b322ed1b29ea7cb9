"""What the API server does not answer itself: a pod behind its proxy that is silent, and nobody at all."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from components.reconciliation.cluster.api import ClusterApi, ClusterUnreachable, Login


@pytest.fixture
def silent_server() -> Iterator[str]:
    """One that takes connections and requests, and answers none."""
    ended = threading.Event()

    class Silent(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            ended.wait(30)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Silent)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    ended.set()
    server.shutdown()
    server.server_close()


def api_at(address: str, folder: Path) -> ClusterApi:
    file = folder / "kubeconfig"
    file.write_text(
        yaml.safe_dump(
            {
                "clusters": [{"name": "a", "cluster": {"server": address}}],
                "users": [{"name": "a", "user": {"token": "t"}}],
                "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
                "current-context": "a",
            }
        )
    )
    return ClusterApi(Login(kubeconfig=str(file)))


def test_a_silent_pod_behind_the_proxy_is_not_taken_for_a_silent_cluster(silent_server: str, tmp_path: Path) -> None:
    status, body = api_at(silent_server, tmp_path).through("GET", "/api/v1/proxied", seconds=0.3)
    assert status == 504
    assert b"no answer within" in body


def test_nobody_at_the_address_is_a_silent_cluster(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(ClusterUnreachable, match="does not answer"):
        api_at(f"http://127.0.0.1:{port}", tmp_path).through("GET", "/api/v1/proxied", seconds=0.3)
