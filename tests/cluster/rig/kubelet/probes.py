"""Startup, readiness and liveness probes, really tried: each in a thread of its own while its container runs."""

from __future__ import annotations

import http.client
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.cluster.rig.api import Json
from tests.cluster.rig.kubelet.box import Boxed

DEFAULT_THRESHOLD = 3


@dataclass(frozen=True)
class Verdict:
    """What one try has shown."""

    passed: bool
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class Target:
    """Whom a probe asks."""

    boxed: Boxed
    address: str
    ports: dict[str, int]
    """The container's, by name."""


class Prober:
    """Tries one probe again and again.

    Tells `decided` whenever a threshold is reached, and `unhealthy` of every try that failed, with what it saw.
    """

    def __init__(
        self, probe: Json, target: Target, decided: Callable[[bool], None], unhealthy: Callable[[str], None]
    ) -> None:
        self._probe, self._target = probe, target
        self._decided, self._unhealthy = decided, unhealthy
        self._stopping = threading.Event()

    def start(self) -> None:
        """Begin; the first try comes after the probe's own delay."""
        threading.Thread(target=self._run, name="probe", daemon=True).start()

    def stop(self) -> None:
        """Decide nothing any more."""
        self._stopping.set()

    def _run(self) -> None:
        if self._stopping.wait(self._probe.get("initialDelaySeconds", 0)):
            return
        row, last = 0, None
        while not self._stopping.is_set():
            began = time.monotonic()
            verdict = attempt(self._probe, self._target)
            if self._stopping.is_set():
                return
            row = row + 1 if last == verdict.passed else 1
            last = verdict.passed
            if not verdict.passed:
                self._unhealthy(verdict.message)
            if row >= self._needed(verdict.passed):
                self._decided(verdict.passed)
            self._stopping.wait(max(0.05, self._probe.get("periodSeconds", 10) - (time.monotonic() - began)))

    def _needed(self, passed: bool) -> int:
        if passed:
            return self._probe.get("successThreshold", 1)
        return self._probe.get("failureThreshold", DEFAULT_THRESHOLD)


def attempt(probe: Json, target: Target) -> Verdict:
    """Try a probe once."""
    timeout = float(probe.get("timeoutSeconds", 1))
    if "exec" in probe:
        return _exec(probe["exec"]["command"], target, timeout)
    if "httpGet" in probe:
        return _http(probe["httpGet"], target, timeout)
    if "tcpSocket" in probe:
        return _tcp(probe["tcpSocket"], target, timeout)
    return Verdict(passed=False, message="a probe of a kind that the rig does not play")


def _exec(command: list[str], target: Target, timeout: float) -> Verdict:
    try:
        result = target.boxed.run(command, timeout)
    except subprocess.TimeoutExpired:
        return Verdict(passed=False, message=f"command timed out: {command!r} timed out after {timeout:g}s")
    except OSError as error:
        return Verdict(passed=False, message=str(error))
    return Verdict(passed=result.returncode == 0, message=(result.stdout + result.stderr).strip()[:500])


def _http(action: Json, target: Target, timeout: float) -> Verdict:
    host, port = action.get("host") or target.address, _port(action["port"], target)
    path = action.get("path") or "/"
    headers = {header["name"]: header["value"] for header in action.get("httpHeaders", [])}
    if action.get("scheme", "HTTP") == "HTTPS":
        context = ssl._create_unverified_context()  # as a kubelet: it knows no authority for a pod's certificate
        connection = http.client.HTTPSConnection(host, port, timeout=timeout, context=context)
    else:
        connection = http.client.HTTPConnection(host, port, timeout=timeout)
    try:
        connection.request("GET", path, headers={"User-Agent": "kube-probe/1.36", **headers})
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return Verdict(passed=False, message=f'Get "http://{host}:{port}{path}": {error}')
    finally:
        connection.close()
    return Verdict(passed=200 <= status < 400, message=f"HTTP probe failed with statuscode: {status}")


def _tcp(action: Json, target: Target, timeout: float) -> Verdict:
    host, port = action.get("host") or target.address, _port(action["port"], target)
    try:
        socket.create_connection((host, port), timeout=timeout).close()
    except OSError as error:
        return Verdict(passed=False, message=f"dial tcp {host}:{port}: {error}")
    return Verdict(passed=True)


def _port(port: int | str, target: Target) -> int:
    return port if isinstance(port, int) else target.ports[port]
