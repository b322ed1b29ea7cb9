"""Writes kubeconfig files."""

from __future__ import annotations

import base64
from pathlib import Path

import yaml

from tests.cluster.rig.credentials import Pair


def write(path: Path, *, server: str, ca: bytes, user: str, access: Pair | str, namespace: str = "default") -> Path:
    """A kubeconfig with one context, `rig`. `access`: a client certificate, or a token."""
    if isinstance(access, Pair):
        login = {"client-certificate-data": _base64(access.certificate), "client-key-data": _base64(access.key)}
    else:
        login = {"token": access}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "rig",
        "clusters": [{"name": "rig", "cluster": {"server": server, "certificate-authority-data": _base64(ca)}}],
        "users": [{"name": user, "user": login}],
        "contexts": [{"name": "rig", "context": {"cluster": "rig", "user": user, "namespace": namespace}}],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return path


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
