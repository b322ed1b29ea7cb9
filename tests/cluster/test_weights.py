"""Weights that come from a registry: an image that the cluster mounts, or one that the pods fetch."""

from __future__ import annotations

import io
import shutil
import socket
import ssl
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.cluster.rig import network
from tests.cluster.rig.rig import Rig
from tests.cluster.yard import ClusterYard, served
from tests.loopback_server import LoopbackHandler
from tests.registry_server import RegistryServer
from tests.stack.yard import CAPITAL

pytestmark = pytest.mark.cluster

IMAGE = "registry.example.com/models/smollm2:1"
AUTHORITY = "authority.crt"


@dataclass
class RigRegistry(RegistryServer):
    """A registry at the rig's own address, with the certificate that its API server has for it."""

    netns: str = field(kw_only=True)
    tls: ssl.SSLContext = field(kw_only=True)

    def listening(self, handler: type[LoopbackHandler]) -> ThreadingHTTPServer:
        # A socket stays in the network that its thread was in.
        with ThreadPoolExecutor(1) as elsewhere:
            listener = elsewhere.submit(self._listener).result()
        server = ThreadingHTTPServer(listener.getsockname(), handler, bind_and_activate=False)
        server.server_port = listener.getsockname()[1]
        server.socket.close()
        server.socket = self.tls.wrap_socket(listener, server_side=True)
        return server

    @property
    def host(self) -> str:
        return f"{network.GATEWAY}:{self._server.server_port}"

    def _listener(self) -> socket.socket:
        network.enter(self.netns)
        return socket.create_server((network.GATEWAY, 0))


@pytest.fixture
def registry(rig: Rig, models: Path) -> Iterator[RigRegistry]:
    certificates = rig.state / "certs"
    shutil.copyfile(certificates / "ca.crt", models / AUTHORITY)
    (models / AUTHORITY).chmod(0o644)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificates / "server.crt", certificates / "server.key")
    with RigRegistry(netns=rig.netns, tls=tls) as server:
        yield server


def layer_of(folder: Path, below: str) -> bytes:
    """An uncompressed layer with a folder's files."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.add(folder, below)
    return out.getvalue()


def test_a_model_is_served_from_an_image_that_is_mounted(idle_yard: ClusterYard, rig: Rig, models: Path) -> None:
    rig.register_image(IMAGE, models / "smollm2")
    idle_yard.configure_cluster(served("chat", options={"weights": None, "image": IMAGE}))
    idle_yard.up()
    assert "Paris" in idle_yard.ask("chat", CAPITAL)
    [worker] = idle_yard.pods("chat", "worker")
    volumes = {each["name"]: each for each in worker["spec"]["volumes"]}
    assert volumes["weights"]["image"]["reference"] == IMAGE
    assert not list((models / "cache" / "weights").rglob("*.safetensors")), "the weights were copied"


def test_an_image_is_fetched_where_the_cluster_mounts_none(
    idle_yard: ClusterYard, registry: RigRegistry, models: Path
) -> None:
    registry.add_image("models/smollm2", "1", layer_of(models / "smollm2", "workspace/weights"))
    image = f"{registry.host}/models/smollm2:1"
    idle_yard.configure_cluster(
        served("chat", options={"weights": None, "image": image}),
        imageVolumes=False,
        environment={"REQUESTS_CA_BUNDLE": f"/models/{AUTHORITY}"},
    )
    idle_yard.up()
    assert "Paris" in idle_yard.ask("chat", CAPITAL)
    assert idle_yard.get("chat", "/version").json()["weights"] == f"oci:{image}"
    assert list((models / "cache").rglob("oci-models-smollm2-1-*/model.safetensors")), "it is kept nowhere"
