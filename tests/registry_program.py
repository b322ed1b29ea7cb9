"""go-containerregistry's registry, which is not ours and checks what is pushed, as a process on loopback."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import Request, urlopen

import pytest

from tests.waiting import eventually

_MODULE = "github.com/google/go-containerregistry/cmd/registry@v0.20.6"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


@contextmanager
def registry_program() -> Iterator[str]:
    """Its host and port. Built once a machine; the test is skipped where there is no go to build it with."""
    program = _built()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen([program, "-port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: _listens(port), 10, f"a registry listens at port {port}")
        yield f"127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def push_image(host: str, repository: str, tag: str, *layers: bytes) -> str:
    """Push an image of these layers, tar archives with gzip, as docker does; the digest of its manifest."""
    config = b'{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}'
    at = f"http://{host}/v2/{repository}"
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": _pushed(at, config, "application/vnd.oci.image.config.v1+json"),
        "layers": [_pushed(at, layer, "application/vnd.oci.image.layer.v1.tar+gzip") for layer in layers],
    }
    raw = json.dumps(manifest).encode()
    _send(Request(f"{at}/manifests/{tag}", raw, {"Content-Type": _MANIFEST}, method="PUT"))
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"


def _pushed(at: str, blob: bytes, media_type: str) -> dict[str, Any]:
    digest = f"sha256:{hashlib.sha256(blob).hexdigest()}"
    target = f"{at}/blobs/uploads/?digest={quote(digest)}"
    _send(Request(target, blob, {"Content-Type": "application/octet-stream"}, method="POST"))
    return {"mediaType": media_type, "digest": digest, "size": len(blob)}


def _send(request: Request) -> None:
    with urlopen(request, timeout=60) as answer:
        assert answer.status == 201, answer.status


def _built() -> str:
    go = shutil.which("go") or pytest.skip("there is no go to build a registry with")
    folder = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "modelyard" / "registry-0.20.6"
    if not (folder / "registry").exists():
        environment = os.environ | {"GOBIN": str(folder)}
        built = subprocess.run([go, "install", _MODULE], env=environment, capture_output=True, text=True, check=False)
        if built.returncode:
            pytest.skip(f"a registry could not be built: {built.stderr.strip()[-200:]}")
    return str(folder / "registry")


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
