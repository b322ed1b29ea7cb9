import functools
import http.server
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from toolchain.layout import Layout
from toolchain.official import Release
from toolchain.program_sets import CLUSTER, KUBERNETES, PULUMI

HERE = Layout.of(os.environ)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A checkout and a cache of the test's own, with the real module locks."""
    root = tmp_path / "check out"
    for module in (*PULUMI.modules, *KUBERNETES.modules, *CLUSTER.modules):
        shutil.copytree(HERE.root / "toolchain" / module, root / "toolchain" / module)
    shutil.copy(HERE.root / "Pulumi.yaml", root / "Pulumi.yaml")
    return Layout(root=root, cache=tmp_path / "cache")


@pytest.fixture
def unreachable() -> Release:
    """A release on a port where nobody listens, as on a machine without a network."""
    return Release(archive="http://127.0.0.1:9/pulumi.tar.gz", checksums="http://127.0.0.1:9/checksums.txt")


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[dict[str, bytes]], str]]:
    """Start a web server for some files; returns its address."""
    servers: list[http.server.ThreadingHTTPServer] = []

    def start(files: dict[str, bytes]) -> str:
        folder = tmp_path / f"served-{len(servers)}"
        folder.mkdir()
        for name, content in files.items():
            (folder / name).write_bytes(content)
        server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), functools.partial(QuietHandler, directory=str(folder))
        )
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serves files without writing a log to the terminal."""

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""
