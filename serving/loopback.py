"""Keeps a replica off the network where its Ray is on loopback only."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import ray
from ray.serve._private import replica


def keep_to_loopback() -> None:
    """Bind the replica's internal gRPC server to Ray's own address if that is a loopback one.

    Ray 2.60 gives every replica a server for calls between deployments and binds it to all interfaces, whatever
    address Ray itself has, with no setting for it. It unpickles what it receives, so whoever reaches it runs code.
    Must be called before the replica's constructor returns: that is when the server starts.
    """
    address = ray.util.get_node_ip_address()
    if not ip_address(address).is_loopback:
        return
    bind = replica.add_port_to_grpc_server  # pyright: ignore[reportPrivateImportUsage] - there is no public way

    def bind_to_loopback(server: Any, at: str) -> int:  # noqa: ANN401 - grpc's server, whose types Ray does not give
        return bind(server, f"{address}:{at.rpartition(':')[2]}")

    replica.add_port_to_grpc_server = bind_to_loopback  # pyright: ignore[reportPrivateImportUsage]
