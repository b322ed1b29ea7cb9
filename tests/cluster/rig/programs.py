"""The programs of a rig and their flags, in the order in which they are started."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.rig.credentials import ISSUER, Credentials
from tests.cluster.rig.network import GATEWAY, POD_CIDR, SERVICE_CIDR
from tests.cluster.rig.processes import Program

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[2]
API_PORT = 6443
"""Inside the rig's network namespace; outside it is the rig's own port."""

ETCD = "http://127.0.0.1:2379"


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where a rig's programs and files are."""

    state: Path
    bin: Path
    netns: str
    port: int
    kubeconfig: Path
    """For programs inside the namespace."""
    credentials: Credentials

    @property
    def kube(self) -> str:
        return f"--kubeconfig={self.kubeconfig}"

    @property
    def instance_types(self) -> Path:
        return self.state / "instance-types.json"


@dataclass(frozen=True, kw_only=True)
class Played:
    """How the kubelet plays its part."""

    venv: Path = CHECKOUT / ".venv-serving"
    """The Python environment that is first on the PATH of every container."""
    max_grace: float = 5.0
    """Seconds: the longest that a pod may take to end by itself, whatever it asks for."""
    back_off: float = 2.0
    """Seconds before the second restart of a container that keeps ending."""
    pull_seconds: float = 0.0
    """How long a node that has not had an image pulls it."""


def etcd(places: Places) -> Program:
    """Without fsync: a rig's state need not survive the machine."""
    argv = [
        *(f"{places.bin}/etcd", f"--data-dir={places.state}/etcd", "--unsafe-no-fsync", "--log-level=warn"),
        *(f"--listen-client-urls={ETCD}", f"--advertise-client-urls={ETCD}"),
        "--listen-peer-urls=http://127.0.0.1:2380",
    ]
    return Program(name="etcd", argv=argv)


def api_server(places: Places) -> Program:
    """Certificates for people, tokens for service accounts, RBAC for both."""
    of = places.credentials
    argv = [
        *(f"{places.bin}/kube-apiserver", f"--etcd-servers={ETCD}", f"--service-cluster-ip-range={SERVICE_CIDR}"),
        *("--bind-address=0.0.0.0", f"--secure-port={API_PORT}", f"--advertise-address={GATEWAY}"),
        *(f"--tls-cert-file={of.server_certificate}", f"--tls-private-key-file={of.server_key}"),
        *(f"--client-ca-file={of.ca}", "--authorization-mode=RBAC", "--allow-privileged"),
        *(f"--service-account-issuer={ISSUER}", f"--service-account-signing-key-file={of.account_key}"),
        f"--service-account-key-file={of.account_key}",
        "--kubelet-preferred-address-types=InternalIP",  # where `kubectl logs` is asked for
    ]
    # Memory for time: it starts in three quarters of the time, with 1 GiB instead of 0.7.
    return Program(name="kube-apiserver", argv=argv, env={"GOGC": "300"})


def forward(places: Places) -> Program:
    """The one way in."""
    argv = [
        *(sys.executable, "-m", "tests.cluster.rig.loopback_forward"),
        *("--listen", str(places.port), "--netns", places.netns, "--to", str(API_PORT)),
    ]
    return Program(name="forward", argv=argv, inside=False, cwd=str(CHECKOUT))


def controller_manager(places: Places) -> Program:
    of = places.credentials
    argv = [
        *(f"{places.bin}/kube-controller-manager", places.kube, "--leader-elect=false"),
        *(f"--service-account-private-key-file={of.account_key}", f"--root-ca-file={of.ca}"),
        "--use-service-account-credentials",
    ]
    return Program(name="kube-controller-manager", argv=argv)


def scheduler(places: Places) -> Program:
    return Program(name="kube-scheduler", argv=[f"{places.bin}/kube-scheduler", places.kube, "--leader-elect=false"])


def proxy(places: Places) -> Program:
    """Without --masquerade-all a pod that reaches itself through its service's address waits for ever."""
    argv = [
        *(f"{places.bin}/kube-proxy", places.kube, "--proxy-mode=nftables", f"--cluster-cidr={POD_CIDR}"),
        *("--hostname-override=control-plane", "--conntrack-max-per-core=0", "--masquerade-all"),
        *("--healthz-bind-address=", "--metrics-bind-address=127.0.0.1:10249"),
    ]
    return Program(name="kube-proxy", argv=argv)


def kwok(places: Places) -> Program:
    """It has no stages of its own, and leaves pods alone that no stage selects."""
    argv = [
        *(f"{places.bin}/kwok", places.kube, "--manage-all-nodes=true", f"--config={HERE}/stages.yaml"),
        *("--cidr=10.245.0.1/16", "--node-lease-duration-seconds=40", f"--node-ip={GATEWAY}"),
    ]
    return Program(name="kwok", argv=argv)


def kuberay(places: Places) -> Program:
    argv = [
        *(f"{places.bin}/kuberay-operator", "--enable-leader-election=false"),
        *("--metrics-addr=127.0.0.1:18080", "--health-probe-bind-address=127.0.0.1:18081"),
    ]
    return Program(name="kuberay-operator", argv=argv, env={"KUBECONFIG": str(places.kubeconfig)})


def karpenter(places: Places) -> Program:
    argv = [
        *(f"{places.bin}/karpenter-kwok", "--disable-leader-election", "--metrics-port=18082"),
        *("--health-probe-port=18083", f"--instance-types-file-path={places.instance_types}"),
    ]
    env = {"KUBECONFIG": str(places.kubeconfig), "SYSTEM_NAMESPACE": "kube-system"}
    return Program(name="karpenter", argv=argv, env=env)


def kubelet(places: Places, played: Played) -> Program:
    """Outside: the namespaces of pods that it makes must be seen by the whole machine. It enters the network itself."""
    of = places.credentials
    hidden = ["/tmp", "/var/tmp", "/run", "/home", "/root", str(CHECKOUT)]
    argv = [
        *(sys.executable, "-m", "tests.cluster.rig.kubelet", places.kube, f"--state={places.state}"),
        *(f"--netns={places.netns}", f"--venv={played.venv}", *(f"--hide={path}" for path in hidden)),
        *(f"--certificate={of.server_certificate}", f"--key={of.server_key}"),
        *(f"--max-grace={played.max_grace}", f"--back-off={played.back_off}", f"--pull-seconds={played.pull_seconds}"),
    ]
    return Program(name="kubelet", argv=argv, inside=False, cwd=str(CHECKOUT))
