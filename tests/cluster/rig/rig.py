"""A rig: started, used, faulted and taken down."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import yaml

from tests.cluster.rig import kubeconfigs, network, processes, programs, record, requirements
from tests.cluster.rig.api import Api, ApiError, Json, Unreachable
from tests.cluster.rig.credentials import Credentials
from tests.cluster.rig.instance_types import instance_types, resources
from tests.cluster.rig.kubelet.settings import OOM_ANNOTATION
from tests.cluster.rig.processes import Processes
from tests.cluster.rig.programs import API_PORT, CHECKOUT, HERE, Places, Played

DEFAULT_PORT = 16443
DAY = timedelta(days=1)
START_SECONDS = 240.0
"""For each part of a start; a quiet machine needs 10 for all of it."""
ADMINS = "system:masters"


class CannotStart(Exception):
    """The rig did not come up; `str()` says what did not, and where to read why."""


class Rig:
    """One cluster on this machine. `state` lies in a folder for temporary files, or in the checkout's .modelyard/rig.

    As a context manager it goes up and down; it then belongs to this process, and what a kill of this process leaves is
    cleared by the next rig on the same port.
    """

    def __init__(
        self,
        state: Path,
        *,
        bin: Path,
        crds: Path,
        port: int = DEFAULT_PORT,
        played: Played | None = None,
        say: Callable[[str], None] = lambda _text: None,
    ) -> None:
        self.state = _allowed(state)
        self.port = port
        self.netns = f"rig-{port}"
        self._crds, self._say = crds, say
        self._played = played or Played()
        self._credentials = Credentials(self.state / "certs")
        self._places = Places(
            state=self.state,
            bin=bin,
            netns=self.netns,
            port=port,
            kubeconfig=self.state / "kubeconfig-inside",
            credentials=self._credentials,
        )
        self.processes = Processes(self.state / "processes.json", self.state / "logs", self.netns)

    @classmethod
    def load(cls, state: Path) -> Rig:
        """A rig that another process has started. Raises FileNotFoundError if there is none in `state`."""
        told = json.loads((state / "rig.json").read_text(encoding="utf-8"))
        rig = cls(state, bin=Path(told["bin"]), crds=Path(told["crds"]), port=told["port"])
        rig.processes.load()
        return rig

    def __enter__(self) -> Self:
        self.up(owned=True)
        return self

    def __exit__(self, *_: object) -> None:
        self.down()

    # Up and down

    def up(self, *, owned: bool = False) -> None:
        """Start everything; ready when it returns. `owned`: it belongs to this process.

        Raises CannotRun for what this machine lacks, and CannotStart; nothing is left running then.
        """
        requirements.check()
        if not (self._played.venv / "pyvenv.cfg").exists():
            raise CannotStart(f"{self._played.venv} is no virtual environment; `make install` makes it")
        self._clear_port()
        self.__dict__.pop("api", None)  # of an earlier time
        for folder in ("etcd", "logs", "certs", "pods", "claims"):
            shutil.rmtree(self.state / folder, ignore_errors=True)
        self.state.mkdir(parents=True, exist_ok=True)
        told = {"port": self.port, "bin": str(self._places.bin), "crds": str(self._crds)}
        (self.state / "rig.json").write_text(json.dumps(told), encoding="utf-8")
        record.Record.write(self.port, self.state, owned=owned)
        try:
            self._start_all()
        except BaseException:
            self.down()
            raise

    def down(self) -> None:
        """Stop everything that this rig started. The logs stay where they are."""
        self.processes.stop("kubelet", grace=5.0)  # it ends its pods
        self.processes.kill_all()
        self._clear()

    def _clear(self) -> None:
        processes.end_marked(self.netns)
        network.remove(self.netns)
        shutil.rmtree(Path("/dev/shm") / f"modelyard-{self.netns}", ignore_errors=True)
        record.forget(self.port)

    def _clear_port(self) -> None:
        found = record.Record.of(self.port)
        if found is not None and not found.abandoned and any(processes.marked(self.netns)):
            belongs = f"of process {found.owner}" if found.owner else f"in {found.state}"
            raise CannotStart(f"a rig {belongs} is up on port {self.port}; take it down, or take another port (--port)")
        self._clear()

    def _start_all(self) -> None:
        began = time.monotonic()
        self._credentials.make()
        network.make(self.netns)
        self._write_kubeconfigs()
        places = self._places
        for make in (programs.etcd, programs.api_server, programs.forward):
            self.processes.start(make(places))
        self._wait_for_api()
        self._say(f"The API server answers after {time.monotonic() - began:.1f} s")
        for make in (programs.controller_manager, programs.scheduler):
            self.processes.start(make(places))
        self.api.apply(*yaml.safe_load_all((HERE / "objects.yaml").read_text(encoding="utf-8")))
        for make in (programs.proxy, programs.kwok):
            self.processes.start(make(places))
        self.processes.start(programs.kubelet(places, self._played))
        self._apply_crds()
        places.instance_types.write_text(json.dumps(instance_types(), indent=1), encoding="utf-8")
        for make in (programs.kuberay, programs.karpenter):
            self.processes.start(make(places))
        self.make_node("system-0")
        self._wait(self._is_ready, "the nodes, the default service account, or a program that runs")
        self._say(f"Everything is up after {time.monotonic() - began:.1f} s; KUBECONFIG={self.admin}")

    def _write_kubeconfigs(self) -> None:
        access = self._credentials.client("rig-admin", (ADMINS,), timedelta(days=30))
        ca = self._credentials.ca.read_bytes()
        for path, port in ((self._places.kubeconfig, API_PORT), (self.admin, self.port)):
            kubeconfigs.write(path, server=f"https://localhost:{port}", ca=ca, user="rig-admin", access=access)

    def _apply_crds(self) -> None:
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        files = sorted(self._crds.glob("*.yaml"))
        crds = [item for file in files for item in yaml.load_all(file.read_text(encoding="utf-8"), _LOADER) if item]
        for crd in crds:
            self.api.post(path, _slim(crd))
        # KubeRay repeats a watch for a kind that is not served yet only after 10 s, so all must be.
        self._wait(lambda: all(_true(crd, "Established") for crd in self.api.items(path)), "the CRDs")

    def _is_ready(self) -> bool:
        nodes = self.api.items("/api/v1/nodes")
        account = self.api.find("/api/v1/namespaces/default/serviceaccounts/default")
        nodes_are = len(nodes) >= 2 and all(_true(node, "Ready") for node in nodes)
        return nodes_are and account is not None and self.api.find(_KUBE_ROOT) is not None

    def _wait_for_api(self) -> None:
        def answers() -> bool:
            with suppress(ApiError, Unreachable):
                return self.api.text("/readyz") == "ok"
            return False

        self._wait(answers, "the API server")

    def _wait(self, true: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not true():
            for name in self.processes.pids:
                if not self.processes.runs(name):
                    log = self.processes.log(name)
                    said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-5:]
                    raise CannotStart("\n".join([f"{name} has ended; {log} ends with:", *said]))
            if time.monotonic() > deadline:
                raise CannotStart(f"{what}: not ready after {START_SECONDS:.0f} s; see {self.state / 'logs'}")
            time.sleep(0.05)

    # Ways in

    @property
    def admin(self) -> Path:
        """The kubeconfig of somebody who may do everything."""
        return self.state / "kubeconfig"

    @cached_property
    def api(self) -> Api:
        """As that person."""
        return Api.of(self.admin)

    def kubeconfig(
        self, user: str, groups: Sequence[str] = (), *, lasts: timedelta = DAY, namespace: str = "default"
    ) -> Path:
        """A kubeconfig for somebody else, by a client certificate; with a negative `lasts`, one that has run out.

        What they may do is said by RBAC objects that name the user or a group.
        """
        access = self._credentials.client(user, groups, lasts)
        return self._kubeconfig(f"{user}-{access.certificate[-40:].hex()[:8]}", user, access, namespace)

    def account_kubeconfig(self, namespace: str, account: str = "default", *, lasts: timedelta = DAY) -> Path:
        """A kubeconfig with a token of a service account; with a negative `lasts`, one that has run out."""
        found = self.api.get(f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}")
        token = self._credentials.token(namespace, account, found["metadata"]["uid"], lasts)
        return self._kubeconfig(f"{namespace}-{account}-{time.time_ns():x}", account, token, namespace)

    def _kubeconfig(self, name: str, user: str, access: kubeconfigs.Pair | str, namespace: str) -> Path:
        return kubeconfigs.write(
            self.state / "kubeconfigs" / name,
            server=f"https://localhost:{self.port}",
            ca=self._credentials.ca.read_bytes(),
            user=user,
            access=access,
            namespace=namespace,
        )

    def inside(self, argv: Sequence[str]) -> list[str]:
        """The command that runs `argv` in the rig's network, where services have their addresses and names."""
        return ["ip", "netns", "exec", self.netns, *argv]

    def run(self, argv: Sequence[str], timeout: float = 30.0) -> str:
        """Run a command there and return its output. Raises CalledProcessError."""
        return subprocess.run(self.inside(argv), check=True, capture_output=True, text=True, timeout=timeout).stdout

    # What tests change

    def make_node(
        self,
        name: str,
        size: str = "Standard_D8s_v5",
        *,
        labels: dict[str, str] | None = None,
        taints: Sequence[Json] = (),
    ) -> None:
        """A node of a size that tests.cluster.rig.instance_types knows; KWOK keeps it Ready."""
        capacity = resources(size)
        own = {
            "kubernetes.io/hostname": name,
            "kubernetes.io/arch": "amd64",
            "kubernetes.io/os": "linux",
            "node.kubernetes.io/instance-type": size,
            "topology.kubernetes.io/zone": "eastus-1",
        }
        node = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "labels": own | (labels or {})},
            "spec": {"taints": list(taints)},
            "status": {"capacity": capacity, "allocatable": capacity},
        }
        self.api.apply(node)

    def lose_node(self, name: str) -> None:
        """A machine that is gone at once, as when a cloud takes it back: nothing is drained from it."""
        path = f"/api/v1/nodes/{name}"
        self.api.delete(path)
        with suppress(ApiError):  # without finalizers it was gone with the first
            self.api.merge(path, {"metadata": {"finalizers": None}})

    def register_image(self, reference: str, folder: Path) -> None:
        """What volumes of the kind `image` show for a reference; without this they are empty."""
        file = self.state / "image-folders.json"
        known = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        part = file.with_suffix(".part")
        part.write_text(json.dumps({**known, reference: str(folder)}), encoding="utf-8")
        part.rename(file)

    def stop(self, name: str) -> None:
        """Stop one of the rig's programs: `kuberay-operator`, `karpenter`, `kube-scheduler`, ..."""
        self.processes.stop(name)

    def start_again(self, name: str) -> None:
        """Start a stopped one as it was."""
        self.processes.start_again(name)

    def restart_api_server(self, down_seconds: float = 0.0) -> None:
        """Nobody answers for a while; ready again when it returns. It gets no time to say goodbye to its clients."""
        self.processes.stop("kube-apiserver", grace=0.0)
        time.sleep(down_seconds)
        self.start_again("kube-apiserver")
        self._wait_for_api()

    def container_pid(self, namespace: str, pod: str, container: str) -> int:
        """The first process of a running container, by its number on this machine."""
        uid = self.api.get(f"/api/v1/namespaces/{namespace}/pods/{pod}")["metadata"]["uid"]
        file = self.state / "pods" / f"{namespace}_{pod}_{uid[:8]}" / f"{container}.pid"
        return int(file.read_text(encoding="utf-8"))

    def kill_container(self, namespace: str, pod: str, container: str, *, oom: bool = False) -> None:
        """End a container by SIGKILL; `oom`: as the kernel does where memory runs out."""
        if oom:
            path = f"/api/v1/namespaces/{namespace}/pods/{pod}"
            self.api.merge(path, {"metadata": {"annotations": {OOM_ANNOTATION: container}}})
        os.kill(self.container_pid(namespace, pod, container), 9)


_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_KUBE_ROOT = "/api/v1/namespaces/default/configmaps/kube-root-ca.crt"


def free_port(first: int = DEFAULT_PORT) -> int:
    """The first port whose rig, if there is one, may be cleared away."""
    port = first
    while _taken(port):
        port += 1
    return port


def _taken(port: int) -> bool:
    found = record.Record.of(port)
    if found is not None and not found.abandoned:
        return True
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return found is None  # what an abandoned rig holds is freed with it
    return False


def _slim(crd: Json) -> Json:
    """A kind without texts and without its older versions: to serve those is most of what a new API server does."""
    versions = [version for version in crd["spec"]["versions"] if version["storage"]]
    return _without_descriptions({**crd, "spec": {**crd["spec"], "versions": versions}})


def _without_descriptions(schema: object) -> Any:  # noqa: ANN401 - any JSON value
    """A schema, or a part of one, without the texts that make up most of it."""
    if isinstance(schema, list):
        return [_without_descriptions(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: value for key, value in schema.items() if key != "description" or not isinstance(value, str)}
    return {key: _without_descriptions(value) for key, value in kept.items()}


def _true(item: Json, condition: str) -> bool:
    conditions = item.get("status", {}).get("conditions") or []
    return any(each["type"] == condition and each["status"] == "True" for each in conditions)


def _allowed(state: Path) -> Path:
    """A rig removes folders in its state, so it may not be just any folder."""
    path = Path(os.path.abspath(state))
    homes = (Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp"), CHECKOUT / ".modelyard" / "rig")
    if not any(path.is_relative_to(home) and path != home for home in homes[:3]) and not path.is_relative_to(homes[3]):
        raise ValueError(f"a rig's state must lie under {homes[0]} or be {homes[3]}, not {path}")
    return path
