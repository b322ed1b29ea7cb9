"""Network namespaces: the rig's own, and one for each pod, joined to it by a veth pair.

The rig's namespace routes between its pods; there is no bridge, so kube-proxy's rules see both directions.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

SERVICE_CIDR = "10.96.0.0/16"
POD_CIDR = "10.244.0.0/16"
GATEWAY = "10.244.0.1"
"""The rig's own address, its nodes' address, and every pod's default route."""

API_SERVICE = "10.96.0.1"
"""The first address of SERVICE_CIDR: the service `kubernetes`."""

NETNS_FILES = Path("/etc/netns")
"""`ip netns exec NAME` shows the files in NAME's folder here in place of those in /etc."""

_CLONE_NEWNET = 0x40000000


def make(netns: str) -> None:
    """A namespace whose only links are its loopback and, later, the pods' veth pairs."""
    folder = NETNS_FILES / netns
    folder.mkdir(parents=True, exist_ok=True)
    hosts_file(netns).write_text("127.0.0.1 localhost\n", encoding="utf-8")
    # Empty: a name server that cannot be reached makes gRPC wait 40 s for a name that stands in the hosts file.
    (folder / "resolv.conf").write_text("", encoding="utf-8")
    inside = ("-n", netns)
    _ip("netns", "add", netns)
    _ip(*inside, "link", "set", "lo", "up")
    _ip(*inside, "addr", "add", f"{GATEWAY}/32", "dev", "lo")
    # kube-proxy rewrites service addresses only for packets that have a route at all.
    _ip(*inside, "route", "add", SERVICE_CIDR, "dev", "lo", "src", GATEWAY)
    _ip("netns", "exec", netns, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")


def remove(netns: str) -> None:
    """Remove the rig's namespace, those of its pods, and the files for it."""
    remove_pods(netns)
    if netns in names():
        _ip("netns", "del", netns)
    shutil.rmtree(NETNS_FILES / netns, ignore_errors=True)
    with suppress(OSError):  # somebody else's are in it, or there is none
        NETNS_FILES.rmdir()


def remove_pods(netns: str) -> None:
    """Remove the namespaces of all pods of a rig. Their links go with them, once nothing uses them any more."""
    for name in names():
        if name.startswith(f"{netns}-pod-"):
            _ip("netns", "del", name)


def names() -> list[str]:
    """All named network namespaces of this machine."""
    said = subprocess.run(["ip", "-j", "netns"], capture_output=True, text=True, check=False).stdout
    return [entry["name"] for entry in json.loads(said or "[]")]


def hosts_file(netns: str) -> Path:
    """The hosts file of the programs that run in the rig's own namespace."""
    return NETNS_FILES / netns / "hosts"


def enter(netns: str) -> None:
    """Move this process into a named namespace; its mounts stay those of the machine (os.setns is Python 3.12+)."""
    libc = ctypes.CDLL(None, use_errno=True)
    handle = os.open(f"/run/netns/{netns}", os.O_RDONLY)
    try:
        if libc.setns(handle, _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"network namespace {netns} cannot be entered")
    finally:
        os.close(handle)


@dataclass(frozen=True, kw_only=True)
class PodNetwork:
    """The namespace of one pod."""

    rig: str
    """The rig's namespace."""
    uid: str
    address: str

    @property
    def netns(self) -> str:
        return f"{self.rig}-pod-{self.uid[:8]}"

    @property
    def link(self) -> str:
        return f"p{self.uid[:8]}"

    def make(self) -> None:
        """The namespace, its one link, and the routes there and back."""
        near, far = ("-n", self.rig), ("-n", self.netns)
        _ip("netns", "add", self.netns)
        _ip(*near, "link", "add", self.link, "type", "veth", "peer", "name", "eth0", "netns", self.netns)
        _ip(*near, "link", "set", self.link, "up")
        _ip(*near, "route", "add", f"{self.address}/32", "dev", self.link)
        _ip(*far, "link", "set", "lo", "up")
        _ip(*far, "addr", "add", f"{self.address}/32", "dev", "eth0")
        _ip(*far, "link", "set", "eth0", "up")
        _ip(*far, "route", "add", GATEWAY, "dev", "eth0", "scope", "link")
        _ip(*far, "route", "add", "default", "via", GATEWAY)

    def remove(self) -> None:
        """The link first: closed sockets can keep the namespace itself alive for minutes."""
        for arguments in (("-n", self.rig, "link", "del", self.link), ("netns", "del", self.netns)):
            subprocess.run(["ip", *arguments], stderr=subprocess.DEVNULL, check=False)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, stdin=subprocess.DEVNULL)
