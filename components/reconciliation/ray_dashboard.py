"""Ray Serve through the Ray dashboard's REST API.

`PUT /api/serve/applications/` replaces all declarative applications and answers before anything is built, so every
change is a read, a merge and a PUT under one lock, followed by a look at what Ray Serve has taken over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import httpx
from filelock import FileLock
from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

from components.reconciliation.adapters import wanted_adapters
from components.reconciliation.serve_answers import application_of, readiness_of
from components.reconciliation.state import Application, Observed, Readiness, ReplicaAdapters

_APPLICATIONS = "/api/serve/applications/"
_REQUEST_SECONDS = 30
_READY_SECONDS = 5
_ASKS_PER_REPLICA = 8
_LOCK_SECONDS = 60
_SETTLE_SECONDS = 30
_REMOVAL_SECONDS = 120


class RayUnreachable(Exception):
    """The Ray dashboard does not answer; the text says how it failed."""


class ServeRejected(Exception):
    """Ray Serve refused a config; the text is Ray's own reason."""


class RayDashboard:
    """One Ray cluster's dashboard. `lock_file` keeps two processes of this machine from merging at the same time."""

    def __init__(self, url: str, *, serve_url: str, serve_port: int, token: str | None, lock_file: Path) -> None:
        self._serve_url = serve_url
        self._serve_port = serve_port
        self._lock = FileLock(lock_file, timeout=_LOCK_SECONDS)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=_REQUEST_SECONDS, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._http.close()

    def version(self) -> str:
        """Ray's version, such as "2.60.0"."""
        return str(self._get("/api/version").json()["ray_version"])

    def observe(self, name: str) -> Observed:
        """What is there of the application `name`; an unreachable Ray is an observation too."""
        try:
            version = self.version()
            app = self.applications().get(name)
        except RayUnreachable as problem:
            return Observed(ray_problem=str(problem))
        readiness = self._readiness(app) if app is not None and app.running else None
        adapters = self._adapters(app, readiness) if app is not None and readiness is not None else ()
        return Observed(ray_version=version, application=app, readiness=readiness, adapters=adapters)

    def applications(self) -> dict[str, Application]:
        """All applications by name."""
        details: dict[str, Any] = self._get(_APPLICATIONS).json()
        return {name: application_of(app) for name, app in details.get("applications", {}).items()}

    def start_serve(self) -> None:
        """Start Ray Serve's controller and proxy, so that the HTTP port is taken before the first application."""
        with self._lock:
            self._put([_config(app) for app in self.applications().values() if _stays(app)])

    def put(self, config: Mapping[str, Any]) -> None:
        """Send one application's config beside the others' and wait until Ray Serve has taken it over."""
        name = config["name"]
        with self._lock:
            before = self.applications().get(name)
            since = before.deployed_at if before is not None else 0.0
            self._replace(name, [dict(config)])
            self._settle(
                lambda apps: name in apps and apps[name].deployed_at > since,
                f"has not taken over {name}",
                _SETTLE_SECONDS,
            )

    def remove(self, name: str) -> None:
        """Take one application out and wait until its replicas are gone; the others stay."""
        with self._lock:
            if name not in self.applications():
                return
            self._replace(name, [])
        self._settle(lambda apps: name not in apps, f"is still removing {name}", _REMOVAL_SECONDS)

    def _replace(self, name: str, configs: list[dict[str, Any]]) -> None:
        others = [_config(app) for other, app in self.applications().items() if other != name and _stays(app)]
        self._put(sorted([*others, *configs], key=lambda app: app["name"]))
        lost = {app["name"] for app in others} - {other for other, app in self.applications().items() if _stays(app)}
        if lost:
            raise ServeRejected(f"Ray Serve dropped {', '.join(sorted(lost))} while {name} was changed")

    def _put(self, applications: list[dict[str, Any]]) -> None:
        body = {
            "proxy_location": "HeadOnly",
            "http_options": {"host": "127.0.0.1", "port": self._serve_port},
            "applications": applications,
        }
        response = self._request("PUT", _APPLICATIONS, body)
        if response.is_error:
            raise ServeRejected(f"Ray Serve answered {response.status_code}: {_last_line(response.text)}")

    def _settle(self, done: Callable[[dict[str, Application]], bool], problem: str, limit: int) -> None:
        waiting = Retrying(
            stop=stop_after_delay(limit), wait=wait_fixed(0.2), retry=retry_if_result(lambda settled: not settled)
        )
        try:
            waiting(lambda: done(self.applications()))
        except RetryError as error:
            raise ServeRejected(f"after {limit} s Ray Serve {problem}; see Ray's logs with make status") from error

    def _readiness(self, app: Application) -> Readiness | None:
        """What the service says of itself; None when it does not answer in time."""
        route = str(app.config.get("route_prefix", ""))
        try:
            response = httpx.get(f"{self._serve_url}{route}/ready", timeout=_READY_SECONDS, trust_env=False)
            body: dict[str, Any] = response.json()
        except (httpx.HTTPError, ValueError):
            return None
        return readiness_of(response.status_code, body)

    def _adapters(self, app: Application, first: Readiness) -> tuple[ReplicaAdapters, ...]:
        """What each replica says of its adapters. Ray Serve sends a request to whichever it likes, so it is asked again
        until all have answered, told apart by their engines; seldom one is missed, and then heard the next time."""
        if first.adapters is None or not wanted_adapters(app.config):
            return ()
        heard = {first.replica: first.adapters}
        for _ in range(_ASKS_PER_REPLICA * app.running):
            if len(heard) >= app.running:
                break
            if (answer := self._readiness(app)) is not None and answer.adapters is not None:
                heard[answer.replica] = answer.adapters
        return tuple(heard.values())

    def _get(self, path: str) -> httpx.Response:
        response = self._request("GET", path)
        if response.is_error:
            raise RayUnreachable(f"the Ray dashboard answered {response.status_code} to {path}")
        return response

    def _request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> httpx.Response:
        try:
            return self._http.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise RayUnreachable(f"Ray does not answer at {self._http.base_url} ({error})") from error


def _stays(app: Application) -> bool:
    return app.status != "DELETING" and bool(app.config)


def _config(app: Application) -> dict[str, Any]:
    return dict(app.config)


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    return lines[-1] if lines else "no reason given"
