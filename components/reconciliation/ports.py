"""Free TCP ports on this machine's loopback address."""

from __future__ import annotations

import socket
import time

import psutil

LOOPBACK = "127.0.0.1"
_TRIES = 200
_RELEASE_SECONDS = 3


class PortTaken(Exception):
    """A port that the stack's config asks for is in use; the text names the port and, where it can be seen, by whom."""


def is_free(port: int) -> bool:
    """Whether a server could listen on the port now: nothing answers there and it can be bound."""
    with socket.socket() as probe:
        probe.settimeout(1)
        if probe.connect_ex((LOOPBACK, port)) == 0:
            return False
    with socket.socket() as probe:
        # As servers do: a port whose last connections are in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def choose(pinned: int | None, preferred: tuple[int | None, int], key: str, *, ours: set[int], taken: set[int]) -> int:
    """The pinned port, or the first free one: an earlier choice, then from the usual one up.

    `preferred` is (the earlier choice or None, the usual one). `ours` are ports that our own processes hold and will
    give back; `taken` are already chosen for something else. `key` is the config key that pins it. Raises PortTaken.
    """

    def usable(port: int) -> bool:
        return port not in taken and (port in ours or is_free(port))

    if pinned is not None:
        if usable(pinned):
            return pinned
        raise PortTaken(
            f"port {pinned} is in use{_holder(pinned)}; free it, choose another {key}, "
            f"or leave {key} out and a free port is chosen"
        )
    earlier, usual = preferred
    candidates = [port for port in (earlier, *range(usual, usual + _TRIES)) if port is not None]
    for port in candidates:
        if usable(port):
            return port
    raise PortTaken(f"no port from {usual} to {usual + _TRIES - 1} is free; set {key}")


def wait_until_free(wanted: set[int]) -> None:
    """Wait a little for ports whose holder has just ended; somebody else may hold them by now, so that is no error."""
    end = time.monotonic() + _RELEASE_SECONDS
    while time.monotonic() < end and not all(is_free(port) for port in wanted):
        time.sleep(0.1)


def any_free(count: int) -> list[int]:
    """Distinct free ports chosen by the operating system, for what needs no stable number."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _holder(port: int) -> str:
    try:
        connections = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        return ""
    for connection in connections:
        if (
            connection.status == psutil.CONN_LISTEN
            and connection.laddr
            and connection.laddr.port == port
            and connection.pid
        ):
            try:
                return f" by {psutil.Process(connection.pid).name()} (process {connection.pid})"
            except psutil.NoSuchProcess:
                return ""
    return ""
