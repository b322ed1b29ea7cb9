"""Whom a container runs as, and what that user may do: a pod's and a container's security contexts, resolved."""

from __future__ import annotations

from dataclasses import dataclass

from tests.cluster.rig.api import Json
from tests.cluster.rig.kubelet.box import USERS
from tests.cluster.rig.kubelet.enter_box import CAPABILITIES

RUNTIME_CAPABILITIES = frozenset(
    {
        *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "NET_RAW"),
        *("SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
    }
)
"""What a container runtime gives root by default."""


class NotAllowed(Exception):
    """The container may not run as this user; `str()` is a kubelet's sentence."""


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Of one container. Images are taken to run as root where the pod does not say."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    capabilities: tuple[str, ...]
    no_new_privileges: bool
    read_only_root: bool


def identity(pod_spec: Json, container: Json) -> Identity:
    """The container's own settings win over the pod's. Raises NotAllowed."""
    pod: Json = pod_spec.get("securityContext") or {}
    own: Json = container.get("securityContext") or {}
    uid = own.get("runAsUser", pod.get("runAsUser", 0))
    if own.get("runAsNonRoot", pod.get("runAsNonRoot", False)) and uid == 0:
        raise NotAllowed("container has runAsNonRoot and image will run as root")
    gid = own.get("runAsGroup", pod.get("runAsGroup"))
    if gid is None:
        gid = USERS[uid][1] if uid in USERS else 0
    groups = {gid, *pod.get("supplementalGroups", ())}
    if "fsGroup" in pod:
        groups.add(pod["fsGroup"])
    return Identity(
        uid=uid,
        gid=gid,
        groups=tuple(sorted(groups)),
        capabilities=tuple(sorted(_capabilities(own))),
        no_new_privileges=own.get("allowPrivilegeEscalation", True) is False,
        read_only_root=own.get("readOnlyRootFilesystem", False),
    )


def _capabilities(own: Json) -> set[str]:
    if own.get("privileged"):
        return set(CAPABILITIES)
    changes: Json = own.get("capabilities") or {}
    dropped = {name.removeprefix("CAP_") for name in changes.get("drop", ())}
    added = {name.removeprefix("CAP_") for name in changes.get("add", ())}
    kept: set[str] = set() if "ALL" in dropped else set(RUNTIME_CAPABILITIES) - dropped
    return kept | (set(CAPABILITIES) if "ALL" in added else added)
